#pragma once

#include <cstddef>
#include <span>

#include "tensor/number_format.h"

namespace hearth::vulkan {

/// Values of blocks that are decoded to f16 may be as large as this: times DECODED_POWER (shaders/halves.glsl) they are
/// just below f16's largest number.
constexpr float kLargestDecoded = 255.0F;

/// Whether no value of these blocks can be larger, by what their scales and minimums allow. True for formats without
/// blocks.
bool can_be_halves(NumberFormat format, std::span<const std::byte> blocks);

}  // namespace hearth::vulkan
