#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <cstdint>
#include <limits>

#include "tensor/blocks.h"
#include "tensor/encodings.h"
#include "tensor/float16.h"
#include "tensor/scale_search.h"

namespace hearth::encodings {
namespace {

constexpr size_t kBlock = 32;
using Codes = std::array<uint8_t, kBlock>;

// What kind of weight a block holds is not known here, so every value counts the same.
constexpr std::array<float, kBlock> kEqualWeights = [] {
  std::array<float, kBlock> weights;
  weights.fill(1.0f);
  return weights;
}();

uint8_t code(const uint8_t (&nibbles)[16], size_t i) { return i < 16 ? nibbles[i] & 15 : nibbles[i - 16] >> 4; }

uint8_t code(const uint8_t (&nibbles)[16], const uint8_t (&fifth_bits)[4], size_t i) {
  return static_cast<uint8_t>(code(nibbles, i) | (fifth_bits[i / 8] >> (i % 8) & 1) << 4);
}

/// scale * (code + lowest): the scale that goes into the block, and the codes for that scale.
uint16_t encode_symmetric(std::span<const float, kBlock> values, int lowest, int highest, Codes& codes) {
  const uint16_t scale_bits = scale_to_f16(find_scale(values, kEqualWeights, lowest, highest));
  const float scale = f16_to_f32(scale_bits), inverse = scale == 0 ? 0 : 1 / scale;
  const float low = static_cast<float>(lowest), high = static_cast<float>(highest);
  for (size_t i = 0; i < kBlock; ++i) {
    codes[i] = static_cast<uint8_t>(nearest_code(values[i] * inverse, low, high) - lowest);
  }
  return scale_bits;
}

struct AffineBits {
  uint16_t scale, minimum;
};

/// scale * q + minimum with q in [0, highest].
AffineBits encode_affine(std::span<const float, kBlock> values, int highest, Codes& codes) {
  const Affine affine = find_affine(values, kEqualWeights, highest, false);
  const AffineBits bits{scale_to_f16(affine.scale), scale_to_f16(affine.minimum)};
  const float scale = f16_to_f32(bits.scale), minimum = f16_to_f32(bits.minimum);
  const float inverse = scale == 0 ? 0 : 1 / scale;
  for (size_t i = 0; i < kBlock; ++i) {
    codes[i] = static_cast<uint8_t>(nearest_code((values[i] - minimum) * inverse, 0, static_cast<float>(highest)));
  }
  return bits;
}

/// The code of the nearest e2m1 number to `x` / `scale`.
uint8_t nearest_e2m1(float x, float scale) {
  uint8_t best = 0;
  for (uint8_t code = 1; code < 16; ++code) {
    const auto error = [&](uint8_t of) { return std::abs(x - scale * static_cast<float>(kDoubledE2m1[of])); };
    if (error(code) < error(best)) best = code;
  }
  return best;
}

/// With this exponent: the codes and the sum of squared errors.
double encode_mxfp4(std::span<const float, kBlock> values, uint8_t exponent, Codes& codes) {
  const float scale = scale_of_doubled_e2m1(exponent);
  double squares = 0;
  for (size_t i = 0; i < kBlock; ++i) {
    codes[i] = nearest_e2m1(values[i], scale);
    const double error = double{values[i]} - scale * static_cast<float>(kDoubledE2m1[codes[i]]);
    squares += error * error;
  }
  return squares;
}

/// The exponent at which the largest number of all fits between 4 and 8, of which 6 is the last that there is; 0 for
/// zeros.
int usual_exponent(std::span<const float, kBlock> values) {
  float largest = 0;
  for (const float value : values) {
    if (std::isfinite(value)) largest = std::max(largest, std::abs(value));
  }
  return largest > 0 ? std::ilogb(largest) - 2 + 127 : 0;
}

}  // namespace

void store(const std::array<uint8_t, 32>& codes, uint8_t (&nibbles)[16]) {
  for (size_t i = 0; i < 16; ++i) nibbles[i] = static_cast<uint8_t>((codes[i] & 15) | (codes[i + 16] & 15) << 4);
}

void store(const std::array<uint8_t, 32>& codes, uint8_t (&nibbles)[16], uint8_t (&fifth_bits)[4]) {
  store(codes, nibbles);
  for (size_t byte = 0; byte < 4; ++byte) {
    fifth_bits[byte] = 0;
    for (size_t bit = 0; bit < 8; ++bit) {
      fifth_bits[byte] |= static_cast<uint8_t>((codes[byte * 8 + bit] >> 4 & 1) << bit);
    }
  }
}

void dequantize_mxfp4(std::span<const std::byte> bytes, std::span<float> values) {
  for_each_block<BlockMxfp4, kBlock>(bytes, values, [](const BlockMxfp4& block, std::span<float, kBlock> out) {
    const float scale = scale_of_doubled_e2m1(block.exponent);
    for (size_t i = 0; i < kBlock; ++i) out[i] = scale * static_cast<float>(kDoubledE2m1[code(block.nibbles, i)]);
  });
}

void dequantize_q4_0(std::span<const std::byte> bytes, std::span<float> values) {
  for_each_block<BlockQ4_0, kBlock>(bytes, values, [](const BlockQ4_0& block, std::span<float, kBlock> out) {
    const float scale = f16_to_f32(block.scale);
    for (size_t i = 0; i < kBlock; ++i) out[i] = scale * static_cast<float>(code(block.nibbles, i) - 8);
  });
}

void dequantize_q4_1(std::span<const std::byte> bytes, std::span<float> values) {
  for_each_block<BlockQ4_1, kBlock>(bytes, values, [](const BlockQ4_1& block, std::span<float, kBlock> out) {
    const float scale = f16_to_f32(block.scale), minimum = f16_to_f32(block.minimum);
    for (size_t i = 0; i < kBlock; ++i) out[i] = scale * static_cast<float>(code(block.nibbles, i)) + minimum;
  });
}

void dequantize_q5_0(std::span<const std::byte> bytes, std::span<float> values) {
  for_each_block<BlockQ5_0, kBlock>(bytes, values, [](const BlockQ5_0& block, std::span<float, kBlock> out) {
    const float scale = f16_to_f32(block.scale);
    for (size_t i = 0; i < kBlock; ++i) {
      out[i] = scale * static_cast<float>(code(block.nibbles, block.fifth_bits, i) - 16);
    }
  });
}

void dequantize_q5_1(std::span<const std::byte> bytes, std::span<float> values) {
  for_each_block<BlockQ5_1, kBlock>(bytes, values, [](const BlockQ5_1& block, std::span<float, kBlock> out) {
    const float scale = f16_to_f32(block.scale), minimum = f16_to_f32(block.minimum);
    for (size_t i = 0; i < kBlock; ++i) {
      out[i] = scale * static_cast<float>(code(block.nibbles, block.fifth_bits, i)) + minimum;
    }
  });
}

void dequantize_q8_0(std::span<const std::byte> bytes, std::span<float> values) {
  for_each_block<BlockQ8_0, kBlock>(bytes, values, [](const BlockQ8_0& block, std::span<float, kBlock> out) {
    const float scale = f16_to_f32(block.scale);
    for (size_t i = 0; i < kBlock; ++i) out[i] = scale * static_cast<float>(block.values[i]);
  });
}

void quantize_q4_0(std::span<const float> values, std::span<std::byte> bytes) {
  make_each_block<BlockQ4_0, kBlock>(values, bytes, [](std::span<const float, kBlock> in) {
    BlockQ4_0 block;
    Codes codes;
    block.scale = encode_symmetric(in, -8, 7, codes);
    store(codes, block.nibbles);
    return block;
  });
}

void quantize_q4_1(std::span<const float> values, std::span<std::byte> bytes) {
  make_each_block<BlockQ4_1, kBlock>(values, bytes, [](std::span<const float, kBlock> in) {
    BlockQ4_1 block;
    Codes codes;
    const AffineBits bits = encode_affine(in, 15, codes);
    block.scale = bits.scale, block.minimum = bits.minimum;
    store(codes, block.nibbles);
    return block;
  });
}

void quantize_q5_0(std::span<const float> values, std::span<std::byte> bytes) {
  make_each_block<BlockQ5_0, kBlock>(values, bytes, [](std::span<const float, kBlock> in) {
    BlockQ5_0 block;
    Codes codes;
    block.scale = encode_symmetric(in, -16, 15, codes);
    store(codes, block.nibbles, block.fifth_bits);
    return block;
  });
}

void quantize_q5_1(std::span<const float> values, std::span<std::byte> bytes) {
  make_each_block<BlockQ5_1, kBlock>(values, bytes, [](std::span<const float, kBlock> in) {
    BlockQ5_1 block;
    Codes codes;
    const AffineBits bits = encode_affine(in, 31, codes);
    block.scale = bits.scale, block.minimum = bits.minimum;
    store(codes, block.nibbles, block.fifth_bits);
    return block;
  });
}

void quantize_q8_0(std::span<const float> values, std::span<std::byte> bytes) {
  make_each_block<BlockQ8_0, kBlock>(values, bytes, [](std::span<const float, kBlock> in) {
    BlockQ8_0 block;
    Codes codes;
    // -128 stays unused: kernels may negate a value within eight bits.
    block.scale = encode_symmetric(in, -127, 127, codes);
    for (size_t i = 0; i < kBlock; ++i) block.values[i] = static_cast<int8_t>(codes[i] - 127);
    return block;
  });
}

void quantize_mxfp4(std::span<const float> values, std::span<std::byte> bytes) {
  make_each_block<BlockMxfp4, kBlock>(values, bytes, [](std::span<const float, kBlock> in) {
    BlockMxfp4 block;
    double least = std::numeric_limits<double>::infinity();
    const int usual = usual_exponent(in);
    // One more where losing the largest costs more than rounding all others coarser.
    for (int exponent = usual; exponent <= usual + 1; ++exponent) {
      Codes codes;
      const auto stored = static_cast<uint8_t>(std::clamp(exponent, 0, 252));
      const double squares = encode_mxfp4(in, stored, codes);
      if (exponent > usual && !(squares < least)) continue;
      least = squares;
      block.exponent = stored;
      store(codes, block.nibbles);
    }
    return block;
  });
}

}  // namespace hearth::encodings
