#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "base/reading/transfer.h"
#include "formats/tensor_coding.h"
#include "model/weight_plan.h"

namespace hearth {

/// Rows of one part of a matrix on their way to the device: the unit of packing. Its bytes are those of the source's
/// tensor, from the piece's first row to its last with whatever lies between; of a coded tensor those of its parts, one
/// behind the other (TensorCoding::range_of).
struct WeightPiece {
  const WeightPlan::Source* source = nullptr;
  uint32_t first_row = 0;  ///< of the part
  uint32_t rows = 0;
  uint64_t row_bytes = 0;  ///< of one row of the tensor
  uint64_t bytes = 0;      ///< in all
  uint32_t shares = 0;     ///< reads that bring a part of it

  /// Its rows of the source's tensor.
  CodedRows tensor_rows() const;
};

/// What a read brings of a piece.
struct PieceShare {
  uint32_t piece = 0;     ///< index into ReadPlan::pieces
  uint64_t in_piece = 0;  ///< offsets of the first byte
  uint64_t in_read = 0;
  uint64_t bytes = 0;
};

struct WeightRead {
  FileRange range;
  std::vector<PieceShare> shares;
};

/// How the bytes of all matrices are read: pieces by layer and place in the files, and reads in the same order. A read
/// brings several pieces where they are small and lie together, a piece comes in several reads where it is large or in
/// two tensors.
struct ReadPlan {
  std::vector<WeightPiece> pieces;
  std::vector<WeightRead> reads;
};

/// `most_bytes` is what one read may have. The sources must outlive the plan.
ReadPlan plan_reads(std::span<const WeightPlan::Source> sources, uint64_t most_bytes);

}  // namespace hearth
