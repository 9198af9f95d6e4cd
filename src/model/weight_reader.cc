#include "model/weight_reader.h"

#include <algorithm>
#include <atomic>
#include <mutex>
#include <optional>
#include <vector>

#include "base/thread_pool.h"
#include "base/usable_cores.h"
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

/// The rows of a source as a matrix whose rows are their columns, in the format that WeightPlan gives such a part.
std::vector<std::byte> transpose(const WeightPlan::Source& source, std::span<const std::byte> bytes) {
  const NumberFormat from = source.tensor.format;
  const NumberFormat to = traits(from).block_values == 1 ? from : NumberFormat::f16;
  const size_t rows = source.rows, row_bytes = bytes.size() / rows;
  const auto cols = static_cast<size_t>(source.tensor.shape.back());
  std::vector<float> row(cols), values(rows * cols);
  for (size_t r = 0; r < rows; ++r) {
    dequantize_row(from, bytes.subspan(r * row_bytes, row_bytes), row);
    for (size_t c = 0; c < cols; ++c) values[c * rows + r] = row[c];
  }
  std::vector<std::byte> transposed(bytes_of(to, values.size()));
  quantize_row(to, values, transposed);
  return transposed;
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
  static uint64_t bytes_of_piece(const Piece& piece) { return row_bytes_of(piece.source->tensor) * piece.rows; }

  Result<void> read_piece(const Piece& piece, std::vector<std::byte>& buffer) {
    const WeightPlan::Source& source = *piece.source;
    const uint64_t bytes = bytes_of_piece(piece);
    buffer.resize(bytes);
    const uint64_t offset = bytes / piece.rows * (source.first_row + piece.first_row);
    if (auto read = checkpoint_.read(source.tensor, offset, buffer); !read) return read;
    if (source.transposed) buffer = transpose(source, buffer);
    if (auto wrote = device_.write_rows(source.matrix, source.part, piece.first_row, buffer); !wrote) return wrote;
    std::lock_guard lock(mutex_);
    progress_.done_bytes += bytes;
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
