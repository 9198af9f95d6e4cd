#pragma once

#include <bit>
#include <cstdint>

namespace hearth {

// Conversions between float and the bits of the two 16-bit formats: IEEE 754 binary16 (f16) and the upper half of
// binary32 (bf16). Widening is exact; narrowing rounds to nearest, ties to even, overflows to infinity, keeps
// subnormals, and turns every NaN into a quiet one with the same leading payload bits.

constexpr float f16_to_f32(uint16_t half) {
  const uint32_t sign = uint32_t{half} >> 15 << 31;
  const uint32_t magnitude = half & 0x7fffu;
  // Subnormals are multiples of 2^-24, and every one of them is a normal float.
  if (magnitude < 0x0400u) {
    return std::bit_cast<float>(sign | std::bit_cast<uint32_t>(static_cast<float>(magnitude) * 0x1p-24f));
  }
  const uint32_t rebias = magnitude >= 0x7c00u ? (255u - 31u) << 23 : (127u - 15u) << 23;
  return std::bit_cast<float>(sign | ((magnitude << 13) + rebias));
}

constexpr uint16_t f32_to_f16(float value) {
  const uint32_t bits = std::bit_cast<uint32_t>(value);
  const uint32_t sign = bits >> 31 << 15;
  const uint32_t magnitude = bits & 0x7fffffffu;
  if (magnitude > 0x7f800000u) return static_cast<uint16_t>(sign | 0x7e00u | (magnitude >> 13 & 0x03ffu));
  if (magnitude >= 0x47800000u) return static_cast<uint16_t>(sign | 0x7c00u);  // 65536 and beyond
  if (magnitude < 0x38800000u) {
    // Below 2^-14: one unit in the last place of 0.5f is 2^-24, the step of f16's subnormals, so the addition rounds.
    const float rounded = std::bit_cast<float>(magnitude) + 0.5f;
    return static_cast<uint16_t>(sign | (std::bit_cast<uint32_t>(rounded) - 0x3f000000u));
  }
  const uint32_t odd = magnitude >> 13 & 1u;
  return static_cast<uint16_t>(sign | ((magnitude - ((127u - 15u) << 23) + 0x0fffu + odd) >> 13));
}

constexpr float bf16_to_f32(uint16_t upper) { return std::bit_cast<float>(uint32_t{upper} << 16); }

constexpr uint16_t f32_to_bf16(float value) {
  const uint32_t bits = std::bit_cast<uint32_t>(value);
  if ((bits & 0x7fffffffu) > 0x7f800000u) return static_cast<uint16_t>(bits >> 16 | 0x0040u);
  return static_cast<uint16_t>((bits + 0x7fffu + (bits >> 16 & 1u)) >> 16);
}

}  // namespace hearth
