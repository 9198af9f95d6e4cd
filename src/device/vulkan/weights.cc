#include "device/vulkan/weights.h"

#include <fmt/format.h>

#include <algorithm>

#include "tensor/quantize.h"

namespace hearth::vulkan {
namespace {

/// Formats that no shader reads are held as f16, as is a matrix of gate and up that differ: GateUp reads both at once.
NumberFormat format_on_device(const MatrixSpec& spec, const MatrixPart& part) {
  const bool two_kinds = spec.parts.size() == 2 && spec.parts[0].format != spec.parts[1].format;
  return encoding_of(part.format) && !two_kinds ? part.format : NumberFormat::f16;
}

}  // namespace

Result<MatrixId> Weights::declare_matrix(const MatrixSpec& spec) {
  Matrix matrix = {.spec = spec};
  for (uint32_t p = 0; p < spec.parts.size(); ++p) {
    const MatrixPart& part = spec.parts[p];
    if (spec.cols % 32 != 0 || spec.cols % traits(part.format).block_values != 0) {
      return fail(ErrorCode::unsupported,
                  fmt::format("{}: {} columns; the Vulkan device takes multiples of 32 and whole blocks of {}",
                              part.name, spec.cols, traits(part.format).name),
                  "use --device cpu");
    }
    const NumberFormat format = format_on_device(spec, part);
    const uint32_t encoding = *encoding_of(format);
    // Halve a part until its pieces fit in a slice: an embedding of 16 bits may be larger than an arena's buffer.
    uint32_t piece = part.rows;
    while (layout_weights(encoding, piece, spec.cols).bytes > Arena::largest_slice(gpu_)) {
      piece = (piece / 2 + Device::kRowGranularity - 1) / Device::kRowGranularity * Device::kRowGranularity;
    }
    for (uint32_t row = 0; row < part.rows; row += piece) {
      WeightRun run = {.part = p, .first_row = matrix.rows + row, .first_row_of_part = row, .format = format};
      run.layout = layout_weights(encoding, std::min(piece, part.rows - row), spec.cols);
      run.slice = matrix_arena_.reserve(run.layout.bytes);
      matrix.bytes += run.layout.bytes;
      matrix.runs.push_back(run);
    }
    matrix.rows += part.rows;
  }
  matrices_.push_back(std::move(matrix));
  return MatrixId{static_cast<uint32_t>(matrices_.size() - 1)};
}

Result<void> Weights::commit() {
  const std::scoped_lock lock(commit_mutex_);
  return matrix_arena_.commit(gpu_, Placement::device);
}

Result<void> Weights::write_rows(MatrixId id, uint32_t part, uint32_t first_row,
                                 std::span<const std::byte> rows_bytes) {
  if (auto made = commit(); !made) return made;
  const Matrix& matrix = matrices_[id.index];
  const size_t row_bytes = bytes_of(matrix.spec.parts[part].format, matrix.spec.cols);
  const auto rows = static_cast<uint32_t>(rows_bytes.size() / row_bytes);
  for (const WeightRun& run : matrix.runs) {
    if (run.part != part) continue;
    const uint32_t begin = std::max(first_row, run.first_row_of_part);
    const uint32_t end = std::min(first_row + rows, run.first_row_of_part + run.layout.rows);
    if (begin >= end) continue;
    const auto bytes = rows_bytes.subspan((begin - first_row) * row_bytes, (end - begin) * row_bytes);
    if (auto written = write_to_run(matrix, run, begin - run.first_row_of_part, bytes); !written) return written;
  }
  return {};
}

Result<void> Weights::write_to_run(const Matrix& matrix, const WeightRun& run, uint32_t first_row,
                                   std::span<const std::byte> rows_bytes) {
  const NumberFormat from = matrix.spec.parts[run.part].format;
  std::vector<std::byte> converted;
  if (from != run.format) {
    const size_t row_bytes = bytes_of(from, run.layout.cols);
    const size_t rows = rows_bytes.size() / row_bytes;
    const size_t new_bytes = bytes_of(run.format, run.layout.cols);
    converted.resize(rows * new_bytes);
    std::vector<float> values(run.layout.cols);
    for (size_t r = 0; r < rows; ++r) {
      dequantize_row(from, rows_bytes.subspan(r * row_bytes, row_bytes), values);
      quantize_row(run.format, values, std::span(converted).subspan(r * new_bytes, new_bytes));
    }
    rows_bytes = converted;
  }
  for (const Plane& plane : pack_rows(run.layout, run.format, first_row, rows_bytes)) {
    if (auto written = uploader_.write(slice(run), plane.offset, plane.bytes); !written) return written;
  }
  return {};
}

Result<VectorId> Weights::upload_vector(const std::string&, std::span<const float> values) {
  const size_t number = vector_arena_.reserve(std::max<size_t>(values.size_bytes(), 1));
  pending_vectors_.emplace_back(values.begin(), values.end());
  return VectorId{static_cast<uint32_t>(number)};
}

Result<void> Weights::finish() {
  if (auto made = commit(); !made) return made;
  if (auto made = vector_arena_.commit(gpu_, Placement::device); !made) return made;
  const size_t first = vector_count_;
  for (size_t i = 0; i < pending_vectors_.size(); ++i) {
    const auto bytes = std::as_bytes(std::span(pending_vectors_[i]));
    if (auto written = uploader_.write(vector_arena_.slice(first + i), 0, bytes); !written) return written;
  }
  vector_count_ += pending_vectors_.size();
  pending_vectors_.clear();
  return uploader_.finish();
}

}  // namespace hearth::vulkan
