#pragma once

#include <cstddef>
#include <span>
#include <vector>

#include "model/read_plan.h"

namespace hearth {

/// Rows that are made at once: fewer than a piece's where that is a whole tensor whose codes lie in another order, as
/// what is made of them takes memory beside them.
uint32_t rows_at_once(const WeightPiece& piece);

/// Rows [first, first + count) of a piece in the format of the matrix's part, from the piece's bytes in the files:
/// `bytes` themselves where nothing has to be changed, else in `scratch`. All rows, or rows_at_once of them. Errors:
/// corrupt (TensorCoding::decode).
Result<std::span<const std::byte>> rows_of(const WeightPiece& piece, uint32_t first, uint32_t count,
                                           std::span<const std::byte> bytes, std::vector<std::byte>& scratch);

}  // namespace hearth
