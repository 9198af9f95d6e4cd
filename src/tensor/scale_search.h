#pragma once

#include <bit>
#include <cstdint>
#include <span>

namespace hearth {

/// x ≈ scale * q + minimum.
struct Affine {
  float scale = 0;
  float minimum = 0;
};

/// The integer nearest to `value`, clamped to [lowest, highest], which lies within ±2^22; `lowest` for NaN. Ties go
/// to even. Branch-free, so that loops over it become vector code.
inline int nearest_code(float value, float lowest, float highest) {
  const float low_clamped = lowest < value ? value : lowest;
  const float clamped = low_clamped < highest ? low_clamped : highest;
  // Adding 1.5 * 2^23 shifts the fraction out and leaves the integer in the low bits.
  return std::bit_cast<int32_t>(clamped + 12582912.0f) - 0x4b400000;
}

/// The scale for which Σ weight * (value - scale * q)² is least, with integers q in [lowest, highest]; it may be
/// negative. Tries scales around those that map the largest value to an end of the range, each improved by linear
/// least squares. 0 when all values are 0. At most 256 values, as many weights.
float find_scale(std::span<const float> values, std::span<const float> weights, int lowest, int highest);

/// As find_scale for values ≈ scale * q + minimum with q in [0, highest] and scale >= 0; `minimum_at_most_zero` keeps
/// the minimum out of the positive numbers.
Affine find_affine(std::span<const float> values, std::span<const float> weights, int highest,
                   bool minimum_at_most_zero);

/// `scale`, or the nearest that f16 can hold and that is neither infinite (the block would decode to NaN) nor, unless
/// `scale` is, zero (the parts of a k block still multiply it).
uint16_t scale_to_f16(float scale);

}  // namespace hearth
