#include "device/vulkan/memory/decoded_range.h"

#include <cstdint>
#include <cstring>

#include "tensor/blocks.h"
#include "tensor/float16.h"

namespace hearth::vulkan {
namespace {

/// Where a block's scale and minimum are, and what they are multiplied with at most.
struct Header {
  size_t block_bytes = 0;
  size_t scale_at = 0;
  float most_scales = 0;
  size_t minimum_at = 0;
  float most_minimums = 0;  ///< 0 where there is no minimum
};

constexpr float kMostPartScale = 63;

Header header_of(NumberFormat format) {
  switch (format) {
    case NumberFormat::q8_0:
      return {sizeof(BlockQ8_0), offsetof(BlockQ8_0, scale), 128};
    case NumberFormat::q4_0:
      return {sizeof(BlockQ4_0), offsetof(BlockQ4_0, scale), 8};
    case NumberFormat::q4_1:
      return {sizeof(BlockQ4_1), offsetof(BlockQ4_1, scale), 15, offsetof(BlockQ4_1, minimum), 1};
    case NumberFormat::q5_0:
      return {sizeof(BlockQ5_0), offsetof(BlockQ5_0, scale), 16};
    case NumberFormat::q5_1:
      return {sizeof(BlockQ5_1), offsetof(BlockQ5_1, scale), 31, offsetof(BlockQ5_1, minimum), 1};
    case NumberFormat::q4_k:
      return {sizeof(BlockQ4_K), offsetof(BlockQ4_K, scale), kMostPartScale * 15, offsetof(BlockQ4_K, minimum),
              kMostPartScale};
    case NumberFormat::q5_k:
      return {sizeof(BlockQ5_K), offsetof(BlockQ5_K, scale), kMostPartScale * 31, offsetof(BlockQ5_K, minimum),
              kMostPartScale};
    case NumberFormat::q6_k:
      return {sizeof(BlockQ6_K), offsetof(BlockQ6_K, scale), 128 * 32};
    default:
      return {};
  }
}

/// The sizes of f16 numbers are in the order of their bits.
uint32_t size_at(const std::byte* at) {
  uint16_t bits;
  std::memcpy(&bits, at, sizeof(bits));
  return bits & 0x7fffU;
}

}  // namespace

bool can_be_halves(NumberFormat format, std::span<const std::byte> blocks) {
  const Header header = header_of(format);
  if (header.block_bytes == 0) return true;
  // Half of the range for each where a value is the sum of two; a difference of both is smaller than either's bound.
  const bool has_minimum = header.most_minimums > 0;
  const float share = has_minimum ? kLargestDecoded / 2 : kLargestDecoded;
  const uint32_t most_scale = f32_to_f16(share / header.most_scales);
  const uint32_t most_minimum = has_minimum ? f32_to_f16(share / header.most_minimums) : 0;
  bool fits = true;
  for (size_t at = 0; at < blocks.size(); at += header.block_bytes) {
    fits &= size_at(blocks.data() + at + header.scale_at) <= most_scale;
    if (has_minimum) fits &= size_at(blocks.data() + at + header.minimum_at) <= most_minimum;
  }
  return fits;
}

}  // namespace hearth::vulkan
