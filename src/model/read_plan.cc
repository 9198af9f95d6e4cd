#include "model/read_plan.h"

#include <algorithm>
#include <tuple>

namespace hearth {
namespace {

/// A piece is smaller than a read by this, so that a neighbour that begins a row later, such as the other half of
/// interleaved rows, comes with the same read.
constexpr uint64_t kRoomForNeighbours = 256U << 10;

/// What is read and thrown away rather than beginning another read: norms lie between the matrices.
constexpr uint64_t kMostGap = 64U << 10;

/// Reads among which a piece looks for one that it can join: the tensors of interleaved rows, and the parts of coded
/// ones.
constexpr size_t kReadsToJoin = 4;

/// Of one row of the last dimension.
uint64_t row_bytes_of(const TensorInfo& tensor) {
  uint64_t rows = 1;
  for (size_t i = 0; i + 1 < tensor.shape.size(); ++i) rows *= static_cast<uint64_t>(tensor.shape[i]);
  return tensor.bytes / rows;
}

/// Where its bytes lie, in their order.
std::vector<FileRange> ranges_of(const WeightPiece& piece) {
  const TensorInfo& tensor = piece.source->tensor;
  const CodedRows rows = piece.tensor_rows();
  if (tensor.coding == nullptr) {
    return {{.file = tensor.file,
             .offset = tensor.offset + rows.first * piece.row_bytes,
             .bytes = (rows.end() - rows.first) * piece.row_bytes}};
  }
  std::vector<FileRange> ranges;
  const std::vector<StoredPart>& parts = tensor.coding->parts();
  for (size_t i = 0; i < parts.size(); ++i) {
    const auto [offset, bytes] = tensor.coding->range_of(i, rows);
    ranges.push_back({.file = parts[i].file, .offset = parts[i].offset + offset, .bytes = bytes});
  }
  return ranges;
}

void cut(const WeightPlan::Source& source, uint64_t most_bytes, std::vector<WeightPiece>& pieces) {
  const uint64_t row_bytes = row_bytes_of(source.tensor);
  uint32_t step = source.rows;  // columns need all rows
  if (!source.transposed && !(source.tensor.coding && source.tensor.coding->reads_all())) {
    const uint64_t fitting = most_bytes / (row_bytes * source.row_step);
    step = static_cast<uint32_t>(std::max<uint64_t>(fitting / Device::kRowGranularity, 1) * Device::kRowGranularity);
  }
  for (uint32_t row = 0; row < source.rows; row += std::min(step, source.rows - row)) {
    WeightPiece piece{.source = &source, .first_row = row, .rows = std::min(step, source.rows - row)};
    piece.row_bytes = row_bytes;
    for (const FileRange& range : ranges_of(piece)) piece.bytes += range.bytes;
    pieces.push_back(piece);
  }
}

class ReadPlanner {
 public:
  ReadPlanner(ReadPlan& plan, uint64_t most_bytes) : plan_(plan), most_bytes_(most_bytes) {}

  /// In reads of at most most_bytes_.
  void add(uint32_t piece, uint64_t in_piece, FileRange range) {
    while (range.bytes > 0) {
      const FileRange some = {range.file, range.offset, std::min(range.bytes, most_bytes_)};
      WeightRead& read = read_for(some);
      read.shares.push_back({piece, in_piece, some.offset - read.range.offset, some.bytes});
      ++plan_.pieces[piece].shares;
      in_piece += some.bytes;
      range.offset += some.bytes;
      range.bytes -= some.bytes;
    }
  }

 private:
  WeightRead& read_for(const FileRange& range) {
    const size_t first = plan_.reads.size() - std::min(plan_.reads.size(), kReadsToJoin);
    for (size_t i = plan_.reads.size(); i > first; --i) {
      if (join(plan_.reads[i - 1].range, range)) return plan_.reads[i - 1];
    }
    return plan_.reads.emplace_back(WeightRead{.range = range, .shares = {}});
  }

  /// Makes `read` hold `range`, which begins no earlier, if that is no waste.
  bool join(FileRange& read, const FileRange& range) const {
    const uint64_t read_end = read.offset + read.bytes;
    const uint64_t end = std::max(read_end, range.offset + range.bytes);
    if (read.file != range.file || range.offset < read.offset || range.offset > read_end + kMostGap) return false;
    if (end - read.offset > most_bytes_) return false;
    read.bytes = end - read.offset;
    return true;
  }

  ReadPlan& plan_;
  const uint64_t most_bytes_;
};

}  // namespace

CodedRows WeightPiece::tensor_rows() const {
  return {.first = source->first_row + uint64_t{first_row} * source->row_step, .count = rows, .step = source->row_step};
}

ReadPlan plan_reads(std::span<const WeightPlan::Source> sources, uint64_t most_bytes) {
  ReadPlan plan;
  for (const WeightPlan::Source& source : sources) cut(source, most_bytes - kRoomForNeighbours, plan.pieces);
  std::ranges::stable_sort(plan.pieces, {}, [](const WeightPiece& piece) {
    const FileRange range = ranges_of(piece).front();
    return std::tuple(piece.source->layer, range.file, range.offset);
  });
  ReadPlanner planner(plan, most_bytes);
  for (uint32_t i = 0; i < plan.pieces.size(); ++i) {
    uint64_t in_piece = 0;
    for (const FileRange& range : ranges_of(plan.pieces[i])) {
      planner.add(i, in_piece, range);
      in_piece += range.bytes;
    }
  }
  return plan;
}

}  // namespace hearth
