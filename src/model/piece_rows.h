#pragma once

#include <cstddef>
#include <span>
#include <vector>

#include "model/read_plan.h"

namespace hearth {

/// A piece's rows in the format of the matrix's part, from its bytes in the files: `bytes` themselves where nothing has
/// to be changed, else in `scratch`.
std::span<const std::byte> rows_of(const WeightPiece& piece, std::span<const std::byte> bytes,
                                   std::vector<std::byte>& scratch);

}  // namespace hearth
