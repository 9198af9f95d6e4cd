#pragma once

#include <cstddef>
#include <optional>
#include <span>
#include <string_view>

#include "base/result.h"
#include "tensor/tensor_view.h"

namespace hearth {

/// Index of the first block with an infinite or NaN scale (or minimum, or plain value) in whole blocks of `format`;
/// nothing when all are finite. Reads only the scales, so it costs a fraction of reading the blocks.
std::optional<size_t> find_non_finite(NumberFormat format, std::span<const std::byte> bytes);

/// `corrupt` naming the tensor, the block, the row and the columns when find_non_finite finds one.
Result<void> check_finite(const TensorView& view, std::string_view tensor_name);

}  // namespace hearth
