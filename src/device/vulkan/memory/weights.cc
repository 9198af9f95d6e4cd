#include "device/vulkan/memory/weights.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <vector>

#include "device/vulkan/gpu/cooperative_matrices.h"
#include "device/vulkan/memory/decoded_range.h"
#include "tensor/quantize.h"

namespace hearth::vulkan {
namespace {

/// Formats that no shader reads are held as f16, as is a matrix of gate and up that differ: GateUp reads both at once.
/// mxfp4 is for experts, and what it holds is exact in bf16.
NumberFormat format_on_device(const MatrixSpec& spec, const MatrixPart& part) {
  if (part.format == NumberFormat::mxfp4 && spec.role != MatrixRole::experts) return NumberFormat::bf16;
  const bool two_kinds = spec.role == MatrixRole::gate_up && spec.parts[0].format != spec.parts[1].format;
  return encoding_of(part.format) && !two_kinds ? part.format : NumberFormat::f16;
}

struct RowRange {
  uint32_t first = 0, rows = 0;
  NumberFormat format = NumberFormat::f32;
};

/// Columns that a matrix has on the device: whole blocks, the last ones zeros where it is plain and what multiplies it
/// reads its input as whole blocks, too.
uint32_t padded_cols(const MatrixSpec& spec) {
  const bool is_padded = (spec.role == MatrixRole::stacked && spec.cols > 32) || spec.role == MatrixRole::heads;
  const bool is_plain =
      std::ranges::all_of(spec.parts, [](const MatrixPart& part) { return traits(part.format).block_values == 1; });
  return is_padded && is_plain ? (spec.cols + 31) / 32 * 32 : spec.cols;
}

bool fits(const RowRange& range, uint32_t cols, const GpuProperties& gpu) {
  return layout_weights(*encoding_of(range.format), range.rows, cols).bytes <= Arena::largest_slice(gpu);
}

/// The runs of a matrix: parts of one format joined (Q, K and V are one launch), parts too large for a slice halved.
/// Gate and up stay apart: their launch reads a row of each.
std::vector<RowRange> split_rows(const MatrixSpec& spec, uint32_t cols, const GpuProperties& gpu) {
  std::vector<RowRange> ranges;
  uint32_t first = 0;
  for (const MatrixPart& part : spec.parts) {
    const RowRange whole = {first, part.rows, format_on_device(spec, part)};
    first += part.rows;
    if (!ranges.empty() && spec.role != MatrixRole::gate_up && ranges.back().format == whole.format &&
        ranges.back().rows % Device::kRowGranularity == 0) {
      const RowRange joined = {ranges.back().first, ranges.back().rows + whole.rows, whole.format};
      if (fits(joined, cols, gpu)) {
        ranges.back() = joined;
        continue;
      }
    }
    RowRange piece = whole;
    while (!fits(piece, cols, gpu)) {
      piece.rows = (piece.rows / 2 + Device::kRowGranularity - 1) / Device::kRowGranularity * Device::kRowGranularity;
    }
    for (uint32_t row = 0; row < whole.rows; row += piece.rows) {
      ranges.push_back({whole.first + row, std::min(piece.rows, whole.rows - row), whole.format});
    }
  }
  return ranges;
}

/// Rows with zeros behind their values.
std::vector<std::byte> with_zeros(std::span<const std::byte> bytes, size_t row_bytes, size_t padded_bytes) {
  std::vector<std::byte> padded(bytes.size() / row_bytes * padded_bytes);
  for (size_t r = 0; r < bytes.size() / row_bytes; ++r) {
    std::ranges::copy(bytes.subspan(r * row_bytes, row_bytes),
                      padded.begin() + static_cast<ptrdiff_t>(r * padded_bytes));
  }
  return padded;
}

/// Noted when the last of the copies has ended that hold this, if all were begun.
struct RowsOnTheirWay {
  RowsOnTheirWay(WeightArrival& to, MatrixId id, uint64_t count) : arrival(to), matrix(id), rows(count) {}
  RowsOnTheirWay(const RowsOnTheirWay&) = delete;
  RowsOnTheirWay& operator=(const RowsOnTheirWay&) = delete;
  ~RowsOnTheirWay() {
    if (are_written) arrival.note(matrix, rows);
  }

  WeightArrival& arrival;
  const MatrixId matrix;
  const uint64_t rows;
  bool are_written = false;
};

}  // namespace

Result<Matrix> lay_out_matrix(const GpuProperties& gpu, const MatrixSpec& spec) {
  Matrix matrix = {.spec = spec};
  const uint32_t cols = padded_cols(spec);
  for (const MatrixPart& part : spec.parts) {
    if (cols % 32 != 0 || cols % traits(part.format).block_values != 0) {
      return fail(ErrorCode::unsupported,
                  fmt::format("{}: {} columns; the Vulkan device takes multiples of 32 and whole blocks of {}",
                              part.name, spec.cols, traits(part.format).name),
                  "use --device cpu");
    }
  }
  for (const RowRange& range : split_rows(spec, cols, gpu)) {
    WeightRun run = {.first_row = range.first, .format = range.format};
    run.layout = layout_weights(*encoding_of(range.format), range.rows, cols);
    matrix.bytes += run.layout.bytes;
    matrix.rows += range.rows;
    matrix.runs.push_back(run);
  }
  return matrix;
}

Result<MatrixId> Weights::declare_matrix(const MatrixSpec& spec) {
  auto matrix = lay_out_matrix(gpu_.properties(), spec);
  if (!matrix) return pass_on(matrix);
  for (WeightRun& run : matrix->runs) run.slice = matrix_arena_.reserve(run.layout.bytes);
  arrival_.add(matrix->rows, matrix->bytes);
  unwritten_rows_ += matrix->rows;
  matrices_.push_back(std::move(*matrix));
  return MatrixId{static_cast<uint32_t>(matrices_.size() - 1)};
}

Result<void> Weights::commit() {
  const std::scoped_lock lock(commit_mutex_);
  return matrix_arena_.commit(gpu_, Placement::device, MemoryOwner::weights);
}

Result<void> Weights::write_rows(MatrixId id, uint32_t part, uint32_t first_row,
                                 std::span<const std::byte> rows_bytes) {
  if (auto made = commit(); !made) return made;
  Matrix& matrix = matrices_[id.index];
  const NumberFormat format = matrix.spec.parts[part].format;
  const size_t row_bytes = bytes_of(format, matrix.spec.cols);
  const auto rows = static_cast<uint32_t>(rows_bytes.size() / row_bytes);
  const auto kept = std::make_shared<RowsOnTheirWay>(arrival_, id, rows);
  for (uint32_t p = 0; p < part; ++p) first_row += matrix.spec.parts[p].rows;
  for (WeightRun& run : matrix.runs) {
    const uint32_t begin = std::max(first_row, run.first_row);
    const uint32_t end = std::min(first_row + rows, run.first_row + run.layout.rows);
    if (begin >= end) continue;
    const auto bytes = rows_bytes.subspan((begin - first_row) * row_bytes, (end - begin) * row_bytes);
    const size_t padded_bytes = bytes_of(format, run.layout.cols);
    const auto padded =
        padded_bytes > row_bytes ? with_zeros(bytes, row_bytes, padded_bytes) : std::vector<std::byte>();
    const std::span<const std::byte> whole = padded.empty() ? bytes : padded;
    if (auto written = write_to_run(run, format, begin - run.first_row, whole, kept); !written) return written;
  }
  kept->are_written = true;
  // Nobody comes after the last rows to see that these copies have ended.
  if (unwritten_rows_.fetch_sub(rows) == rows) return uploader_.finish();
  return {};
}

Result<void> Weights::write_to_run(WeightRun& run, NumberFormat from, uint32_t first_row,
                                   std::span<const std::byte> rows_bytes, const std::shared_ptr<void>& kept) {
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
  if (takes_halves(gpu_.properties())) {
    const BlockRange range = block_range(run.format, bytes_of(run.format, run.layout.cols), rows_bytes);
    const std::scoped_lock lock(written_mutex_);
    run.written = joined(run.written, range);
  }
  for (const Plane& plane : pack_rows(run.layout, run.format, first_row, rows_bytes)) {
    if (auto written = uploader_.write(slice(run), plane.offset, plane.bytes, kept); !written) return written;
  }
  return {};
}

Result<VectorId> Weights::upload_vector(const std::string&, std::span<const float> values) {
  const size_t number = vector_arena_.reserve(std::max<size_t>(values.size_bytes(), 1));
  pending_vectors_.emplace_back(values.begin(), values.end());
  float largest = 0;
  for (const float value : values) largest = std::max(largest, std::abs(value));
  largest_.push_back(largest);
  return VectorId{static_cast<uint32_t>(number)};
}

void Weights::settle(MatrixId id) {
  if (!takes_halves(gpu_.properties())) return;
  const std::scoped_lock lock(written_mutex_);
  for (WeightRun& run : matrices_[id.index].runs) {
    run.layout.range = run.written;
    run.layout.decodable = can_be_halves(run.format, run.written);
  }
}

void Weights::settle_all() {
  for (uint32_t i = 0; i < matrices_.size(); ++i) settle({i});
}

uint64_t Weights::uncommitted_bytes() const {
  const std::scoped_lock lock(commit_mutex_);
  return matrix_arena_.uncommitted_bytes() + vector_arena_.uncommitted_bytes();
}

Result<void> Weights::finish(bool arriving) {
  if (auto made = commit(); !made) return made;
  if (auto made = vector_arena_.commit(gpu_, Placement::device, MemoryOwner::weights); !made) return made;
  const size_t first = vector_count_;
  Uploader uploader(gpu_, pool_);  // of its own: matrices' copies may be in flight
  for (size_t i = 0; i < pending_vectors_.size(); ++i) {
    const auto bytes = std::as_bytes(std::span(pending_vectors_[i]));
    if (auto written = uploader.write(vector_arena_.slice(first + i), 0, bytes); !written) return written;
  }
  vector_count_ += pending_vectors_.size();
  pending_vectors_.clear();
  if (auto finished = uploader.finish(); !finished || arriving) return finished;
  if (auto finished = uploader_.finish(); !finished) return finished;
  settle_all();
  return {};
}

}  // namespace hearth::vulkan
