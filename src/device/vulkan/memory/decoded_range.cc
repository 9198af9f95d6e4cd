#include "device/vulkan/memory/decoded_range.h"

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <limits>

#include "tensor/blocks.h"
#include "tensor/float16.h"

namespace hearth::vulkan {
namespace {

/// Where a block's scale and minimum are, and what they are multiplied with at most: a part's, then a number's.
struct Header {
  size_t block_bytes = 0;
  size_t scale_at = 0;
  float most_part_scale = 1;
  float most_number = 0;
  size_t minimum_at = 0;
  float most_part_minimum = 0;  ///< 0 where there is no minimum
};

constexpr float kMostPartScale = 63;

Header header_of(NumberFormat format) {
  switch (format) {
    case NumberFormat::q8_0:
      return {sizeof(BlockQ8_0), offsetof(BlockQ8_0, scale), 1, 128};
    case NumberFormat::q4_0:
      return {sizeof(BlockQ4_0), offsetof(BlockQ4_0, scale), 1, 8};
    case NumberFormat::q4_1:
      return {sizeof(BlockQ4_1), offsetof(BlockQ4_1, scale), 1, 15, offsetof(BlockQ4_1, minimum), 1};
    case NumberFormat::q5_0:
      return {sizeof(BlockQ5_0), offsetof(BlockQ5_0, scale), 1, 16};
    case NumberFormat::q5_1:
      return {sizeof(BlockQ5_1), offsetof(BlockQ5_1, scale), 1, 31, offsetof(BlockQ5_1, minimum), 1};
    case NumberFormat::q4_k:
      return {sizeof(BlockQ4_K), offsetof(BlockQ4_K, scale), kMostPartScale, 15, offsetof(BlockQ4_K, minimum),
              kMostPartScale};
    case NumberFormat::q5_k:
      return {sizeof(BlockQ5_K), offsetof(BlockQ5_K, scale), kMostPartScale, 31, offsetof(BlockQ5_K, minimum),
              kMostPartScale};
    case NumberFormat::q6_k:
      return {sizeof(BlockQ6_K), offsetof(BlockQ6_K, scale), 128, 32};
    default:
      return {};
  }
}

/// The sizes of f16 numbers are in the order of their bits.
uint16_t size_at(const std::byte* at) {
  uint16_t bits;
  std::memcpy(&bits, at, sizeof(bits));
  return bits & 0x7fffU;
}

float size_of(uint16_t bits) { return bits < 0x7c00 ? f16_to_f32(bits) : std::numeric_limits<float>::infinity(); }

}  // namespace

BlockRange block_range(NumberFormat format, size_t row_bytes, std::span<const std::byte> rows) {
  const Header header = header_of(format);
  if (header.block_bytes == 0) return {};
  BlockRange range;
  for (size_t row = 0; row < rows.size(); row += row_bytes) {
    uint16_t scale = 0, minimum = 0;
    for (size_t at = row; at < row + row_bytes; at += header.block_bytes) {
      scale = std::max(scale, size_at(rows.data() + at + header.scale_at));
      if (header.most_part_minimum > 0) minimum = std::max(minimum, size_at(rows.data() + at + header.minimum_at));
    }
    const BlockRange of_row = {.scale = size_of(scale) * header.most_part_scale,
                               .minimum = size_of(minimum) * header.most_part_minimum};
    range = joined(range, of_row);
    const float largest = std::max(of_row.scale * header.most_number, of_row.minimum);
    if (largest > 0) range.least_row = std::min(range.least_row, largest);
  }
  return range;
}

BlockRange joined(const BlockRange& a, const BlockRange& b) {
  return {std::max(a.scale, b.scale), std::max(a.minimum, b.minimum), std::min(a.least_row, b.least_row)};
}

bool can_be_halves(NumberFormat format, const BlockRange& range) {
  // Half of the range for each where a value is the sum of two; a difference of both is smaller than either's bound.
  const Header header = header_of(format);
  const float share = header.most_part_minimum > 0 ? kLargestDecoded / 2 : kLargestDecoded;
  return range.scale * header.most_number <= share && range.minimum <= share;
}

float decoded_unit(const BlockRange& range) {
  constexpr float kLargestHalf = 65504;
  int exponent = 30;
  while (exponent > 0 && (std::ldexp(range.scale, exponent) > kLargestHalf ||
                          std::ldexp(range.minimum, exponent - 24) > kLargestHalf / 2)) {
    --exponent;
  }
  return std::ldexp(1.0F, 24 - exponent);
}

/// A step of them is at most a 512th of any row's largest value: what is lost of it is less than what an encoding of 8
/// bits loses.
bool has_one_unit(const BlockRange& range) { return decoded_unit(range) * 0x1p-24F * 512 <= range.least_row; }

}  // namespace hearth::vulkan
