#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

namespace hearth {

/// How the numbers of a tensor lie in memory. Plain formats have one value in a block; block encodings follow GGUF's
/// layout byte for byte (ggml's block_q4_0 and so on), so that a tensor of a GGUF file is a view of the file.
enum class NumberFormat : uint8_t {
  f32,
  f16,
  bf16,
  i8,
  u8,
  i32,
  q4_0,  ///< 32 values: f16 scale, 16 bytes of nibbles; value = scale * (q - 8)
  q4_1,  ///< 32 values: f16 scale, f16 minimum, 16 bytes; value = scale * q + minimum
  q5_0,  ///< 32 values: f16 scale, 4 bytes of fifth bits, 16 bytes; value = scale * (q - 16)
  q5_1,  ///< 32 values: f16 scale, f16 minimum, 4 bytes, 16 bytes; value = scale * q + minimum
  q8_0,  ///< 32 values: f16 scale, 32 signed bytes; value = scale * q
  q4_k,  ///< 256 values: f16 scale and minimum over 8 pairs of 6-bit (scale, minimum), 128 bytes of nibbles
  q5_k,  ///< as q4_k with 32 bytes of fifth bits
  q6_k,  ///< 256 values: 128 + 64 bytes of 4 + 2 bits, 16 signed byte scales, f16 scale; value = scale * s * (q - 32)
  /// 32 values: an exponent, 16 bytes of nibbles; value = 2^(exponent - 127) * e2m1(q) (OCP Microscaling Formats 1.0)
  mxfp4,
  // Only in files: devices hold them in another format (tensor/recode.h). tensor/low_bit_blocks.h has their formulas.
  q2_k,
  q3_k,
  iq1_s,
  iq1_m,
  iq2_xxs,
  iq2_xs,
  iq2_s,
  iq3_xxs,
  iq3_s,
  iq4_nl,
  iq4_xs,
  tq1_0,
  tq2_0,
  f8_e4m3,  ///< 4 bits of exponent, 3 of mantissa, no infinity (OCP 8-bit Floating Point 1.0)
  f8_e5m2,  ///< 5 bits of exponent, 2 of mantissa
  f8_e8m0,  ///< an exponent alone: 2^(byte - 127), 255 is not a number (OCP Microscaling Formats 1.0)
};

inline constexpr int kNumberFormatCount = 31;

/// Values in a block, bytes of a block, and the name as files and people spell it ("q4_0").
struct FormatTraits {
  std::string_view name;
  size_t block_values;
  size_t block_bytes;
};

const FormatTraits& traits(NumberFormat format);

/// Bytes of `values` consecutive numbers; `values` must be a multiple of the block.
size_t bytes_of(NumberFormat format, size_t values);

}  // namespace hearth
