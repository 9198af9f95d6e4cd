#pragma once

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>

namespace hearth {

// The block encodings byte for byte as GGUF stores them; number_format.h gives the formulas. Scales and minimums are
// f16 bits. Blocks in a file may lie at any address: copy one out with memcpy before using it.
// Source of the layouts: https://github.com/ggml-org/ggml/blob/master/src/ggml-common.h

/// In blocks of 32, low nibbles hold values 0 to 15 and high nibbles values 16 to 31.
struct BlockQ4_0 {
  uint16_t scale;
  uint8_t nibbles[16];
};

struct BlockQ4_1 {
  uint16_t scale;
  uint16_t minimum;
  uint8_t nibbles[16];
};

/// fifth_bits is a little-endian 32-bit number: bit i is bit 4 of value i.
struct BlockQ5_0 {
  uint16_t scale;
  uint8_t fifth_bits[4];
  uint8_t nibbles[16];
};

struct BlockQ5_1 {
  uint16_t scale;
  uint16_t minimum;
  uint8_t fifth_bits[4];
  uint8_t nibbles[16];
};

struct BlockQ8_0 {
  uint16_t scale;
  int8_t values[32];
};

struct BlockMxfp4 {
  uint8_t exponent;  // 255 is not a number
  uint8_t nibbles[16];
};

/// Twice the e2m1 numbers, which are integers: a nibble is a sign, two bits of exponent and one of mantissa.
inline constexpr int8_t kDoubledE2m1[16] = {0, 1, 2, 3, 4, 6, 8, 12, 0, -1, -2, -3, -4, -6, -8, -12};

/// What those are multiplied with: 2^(exponent - 128).
inline float scale_of_doubled_e2m1(uint8_t exponent) {
  return exponent == 255 ? std::numeric_limits<float>::quiet_NaN() : std::ldexp(1.0F, exponent - 128);
}

/// 8 parts of 32 values; value = scale * part_scale * q - minimum * part_minimum. Parts 2i and 2i+1 share nibbles
/// [32i, 32i + 32): low nibbles are the even part, high nibbles the odd one.
struct BlockQ4_K {
  uint16_t scale;
  uint16_t minimum;
  uint8_t part_scales[12];  // unpack_part_scale()
  uint8_t nibbles[128];
};

/// As q4_k; bit p of fifth_bits[i] is bit 4 of value i of part p.
struct BlockQ5_K {
  uint16_t scale;
  uint16_t minimum;
  uint8_t part_scales[12];
  uint8_t fifth_bits[32];
  uint8_t nibbles[128];
};

/// 16 parts of 16 values; value = scale * part_scale * (q - 32). Values come in two halves of 128, a half in four
/// quarters of 32: quarters 0 and 2 are the low and high nibbles of low[64 half + i], quarters 1 and 3 of
/// low[64 half + 32 + i]; bits 2 quarter and 2 quarter + 1 of high[32 half + i] are the upper two bits.
struct BlockQ6_K {
  uint8_t low[128];
  uint8_t high[64];
  int8_t part_scales[16];
  uint16_t scale;
};

static_assert(sizeof(BlockQ4_0) == 18 && sizeof(BlockQ4_1) == 20 && sizeof(BlockQ5_0) == 22 && sizeof(BlockQ5_1) == 24);
static_assert(sizeof(BlockMxfp4) == 17 && sizeof(BlockQ8_0) == 34 && sizeof(BlockQ4_K) == 144 &&
              sizeof(BlockQ5_K) == 176 && sizeof(BlockQ6_K) == 210);

/// One part's 6-bit scale and 6-bit minimum in q4_k and q5_k.
struct PartScale {
  uint8_t scale;
  uint8_t minimum;
};

/// Parts 0-3 keep theirs in the low six bits of bytes 0-3 and 4-7; parts 4-7 keep the low four bits in the nibbles of
/// bytes 8-11 and the upper two in the upper bits of bytes 0-7.
constexpr PartScale unpack_part_scale(const uint8_t (&packed)[12], size_t part) {
  if (part < 4) return {static_cast<uint8_t>(packed[part] & 63), static_cast<uint8_t>(packed[part + 4] & 63)};
  return {static_cast<uint8_t>((packed[part + 4] & 15) | (packed[part - 4] >> 6 << 4)),
          static_cast<uint8_t>((packed[part + 4] >> 4) | (packed[part] >> 6 << 4))};
}

/// The reverse; all twelve bytes must be zero before part 0, and parts be packed in any order.
constexpr void pack_part_scale(uint8_t (&packed)[12], size_t part, PartScale value) {
  if (part < 4) {
    packed[part] |= value.scale;
    packed[part + 4] |= value.minimum;
  } else {
    packed[part + 4] |= static_cast<uint8_t>((value.scale & 15) | (value.minimum & 15) << 4);
    packed[part - 4] |= static_cast<uint8_t>(value.scale >> 4 << 6);
    packed[part] |= static_cast<uint8_t>(value.minimum >> 4 << 6);
  }
}

}  // namespace hearth
