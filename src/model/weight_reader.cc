#include "model/weight_reader.h"

#include <algorithm>
#include <atomic>
#include <cstring>
#include <mutex>
#include <optional>
#include <vector>

#include "base/thread_pool.h"
#include "base/usable_cores.h"
#include "tensor/blocks.h"
#include "tensor/quantize.h"

namespace hearth {
namespace {

constexpr uint64_t kPieceBytes = 4U << 20;
constexpr unsigned kReaderThreads = 4;

/// Rows of one part of a matrix on their way to the device.
struct Piece {
  const WeightPlan::Source* source = nullptr;
  uint32_t first_row = 0;  ///< of the part
  uint32_t rows = 0;
};

/// Of one row of the last dimension.
uint64_t row_bytes_of(const TensorInfo& tensor) {
  uint64_t rows = 1;
  for (size_t i = 0; i + 1 < tensor.shape.size(); ++i) rows *= static_cast<uint64_t>(tensor.shape[i]);
  return tensor.bytes / rows;
}

/// Rows of a source as a matrix whose rows are their columns, in the format that WeightPlan gives such a part.
std::vector<std::byte> transpose(const WeightPlan::Source& source, std::span<const std::byte> bytes) {
  const WeightPlan::Columns& columns = *source.transposed;
  const NumberFormat from = source.tensor.format;
  const NumberFormat to = traits(from).block_values == 1 ? from : NumberFormat::f16;
  const size_t rows = source.rows, row_bytes = bytes.size() / rows;
  std::vector<float> row(static_cast<size_t>(source.tensor.shape.back())), values(rows * columns.count);
  for (size_t r = 0; r < rows; ++r) {
    dequantize_row(from, bytes.subspan(r * row_bytes, row_bytes), row);
    for (size_t c = 0; c < columns.count; ++c) values[c * rows + r] = row[columns.first + c * columns.step];
  }
  std::vector<std::byte> transposed(bytes_of(to, values.size()));
  quantize_row(to, values, transposed);
  return transposed;
}

/// Leaves of rows each `step`th, one behind the other.
void keep_every(uint32_t step, uint64_t row_bytes, std::vector<std::byte>& rows) {
  if (step == 1) return;
  const uint64_t kept = (rows.size() / row_bytes + step - 1) / step;
  for (uint64_t row = 1; row < kept; ++row) {
    std::memcpy(rows.data() + row * row_bytes, rows.data() + row * step * row_bytes, row_bytes);
  }
  rows.resize(kept * row_bytes);
}

/// mxfp4's blocks of their codes, of which neighbours share a byte, and their exponents.
std::vector<std::byte> join_codes(std::span<const std::byte> codes, std::span<const std::byte> exponents) {
  std::vector<std::byte> blocks(exponents.size() * sizeof(BlockMxfp4));
  for (size_t i = 0; i < exponents.size(); ++i) {
    BlockMxfp4 block{.exponent = std::to_integer<uint8_t>(exponents[i]), .nibbles = {}};
    for (size_t value = 0; value < 32; ++value) {
      const auto code = std::to_integer<unsigned>(codes[16 * i + value / 2]) >> (4 * (value % 2)) & 15U;
      block.nibbles[value % 16] |= static_cast<uint8_t>(code << (4 * (value / 16)));
    }
    std::memcpy(blocks.data() + i * sizeof(block), &block, sizeof(block));
  }
  return blocks;
}

std::vector<Piece> cut(std::span<const WeightPlan::Source> sources) {
  std::vector<Piece> pieces;
  for (const WeightPlan::Source& source : sources) {
    if (source.transposed) {
      pieces.push_back({&source, 0, source.rows});
      continue;
    }
    const uint64_t row_bytes = row_bytes_of(source.tensor);
    const uint64_t fitting = kPieceBytes / row_bytes / Device::kRowGranularity * Device::kRowGranularity;
    const auto step = static_cast<uint32_t>(std::max<uint64_t>(fitting, Device::kRowGranularity));
    for (uint32_t row = 0; row < source.rows; row += step) {
      pieces.push_back({&source, row, std::min(step, source.rows - row)});
    }
  }
  return pieces;
}

/// Reads the pieces with a few threads, each into a buffer of its own.
class PieceReader {
 public:
  PieceReader(const Checkpoint& checkpoint, Device& device, ProgressSink& progress, int layers)
      : checkpoint_(checkpoint), device_(device), sink_(progress) {
    progress_.stage = "load";
    progress_.layers = layers;
  }

  Result<void> read(const std::vector<Piece>& pieces, const std::stop_token& stop) {
    for (const Piece& piece : pieces) progress_.total_bytes += bytes_of_piece(piece);
    sink_.report(progress_);
    ThreadPool pool(std::min(kReaderThreads, usable_cores()));
    std::vector<std::vector<std::byte>> buffers(pool.threads());
    pool.parallel_for(pieces.size(), [&](size_t i, unsigned thread) {
      if (failed_) return;
      auto result = stop.stop_requested() ? Result<void>(fail(ErrorCode::cancelled, "loading was cancelled"))
                                          : read_piece(pieces[i], buffers[thread]);
      if (!result) note_error(result.error());
    });
    if (error_) return std::unexpected(*error_);
    return {};
  }

 private:
  /// What of the checkpoint becomes a part of the matrix.
  static uint64_t bytes_of_piece(const Piece& piece) {
    const WeightPlan::Source& source = *piece.source;
    uint64_t row = row_bytes_of(source.tensor);
    if (source.transposed) row = row * source.transposed->count / static_cast<uint64_t>(source.tensor.shape.back());
    if (source.exponents) row += row_bytes_of(*source.exponents);
    return row * piece.rows;
  }

  /// A piece's rows of a tensor that has the source's rows.
  Result<void> read_rows(const Piece& piece, const TensorInfo& tensor, std::vector<std::byte>& rows) {
    const WeightPlan::Source& source = *piece.source;
    const uint64_t row_bytes = row_bytes_of(tensor);
    rows.resize(row_bytes * ((piece.rows - 1) * uint64_t{source.row_step} + 1));
    const uint64_t first = source.first_row + uint64_t{piece.first_row} * source.row_step;
    if (auto read = checkpoint_.read(tensor, first * row_bytes, rows); !read) return read;
    keep_every(source.row_step, row_bytes, rows);
    return {};
  }

  Result<void> read_piece(const Piece& piece, std::vector<std::byte>& buffer) {
    const WeightPlan::Source& source = *piece.source;
    if (auto read = read_rows(piece, source.tensor, buffer); !read) return read;
    if (source.exponents) {
      std::vector<std::byte> exponents;
      if (auto read = read_rows(piece, *source.exponents, exponents); !read) return read;
      buffer = join_codes(buffer, exponents);
    }
    if (source.transposed) buffer = transpose(source, buffer);
    if (auto wrote = device_.write_rows(source.matrix, source.part, piece.first_row, buffer); !wrote) return wrote;
    std::lock_guard lock(mutex_);
    progress_.done_bytes += bytes_of_piece(piece);
    progress_.layer = std::max(progress_.layer, source.layer);
    sink_.report(progress_);
    return {};
  }

  void note_error(Error error) {
    std::lock_guard lock(mutex_);
    if (!error_) error_ = std::move(error);
    failed_ = true;
  }

  const Checkpoint& checkpoint_;
  Device& device_;
  ProgressSink& sink_;
  std::atomic<bool> failed_ = false;
  std::mutex mutex_;  // guards what follows
  Progress progress_;
  std::optional<Error> error_;
};

}  // namespace

Result<void> read_weights(const Checkpoint& checkpoint, std::span<const WeightPlan::Source> sources, Device& device,
                          int layers, ProgressSink& progress, const std::stop_token& stop) {
  return PieceReader(checkpoint, device, progress, layers).read(cut(sources), stop);
}

}  // namespace hearth
