#pragma once

#include <cstddef>
#include <limits>
#include <span>

#include "tensor/number_format.h"

namespace hearth::vulkan {

/// Values of blocks that are decoded to f16 may be as large as this: times DECODED_POWER (shaders/halves.glsl) they are
/// just below f16's largest number.
constexpr float kLargestDecoded = 255.0F;

/// Of some rows of blocks, without signs: the largest scale and minimum, of q4_k and its kin times the largest that a
/// part may have, infinite where one is no number; and the least that a row's largest value can be, of rows that are
/// not all 0. Nothing is known of formats without blocks, and of mxfp4.
struct BlockRange {
  float scale = 0;
  float minimum = 0;
  float least_row = std::numeric_limits<float>::infinity();
};

BlockRange block_range(NumberFormat format, size_t row_bytes, std::span<const std::byte> rows);

/// Of the rows of both.
BlockRange joined(const BlockRange& a, const BlockRange& b);

/// Whether no value of such blocks can be larger than kLargestDecoded. True for formats without blocks.
bool can_be_halves(NumberFormat format, const BlockRange& range);

/// shaders/fragment_tokens.glsl makes blocks of a matrix numbers that are so many times smaller, 2^(24 - n): scales
/// times 2^n are halves, with n as large as it can be, 30 at most.
float decoded_unit(const BlockRange& range);

/// Whether such numbers of all rows have enough bits.
bool has_one_unit(const BlockRange& range);

}  // namespace hearth::vulkan
