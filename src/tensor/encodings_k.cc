#include <algorithm>
#include <array>
#include <cmath>
#include <cstdint>

#include "tensor/blocks.h"
#include "tensor/encodings.h"
#include "tensor/float16.h"
#include "tensor/scale_search.h"

namespace hearth::encodings {
namespace {

constexpr size_t kBlock = 256;
using Codes = std::array<uint8_t, kBlock>;

// Sums side by side, as the compiler may not reorder one.
constexpr size_t kLanes = 8;

/// Large weights matter more to a dot product, but small ones are not nothing: root mean square + |value|.
template <size_t kValues>
std::array<float, kValues> importance(std::span<const float, kValues> values) {
  float squares = 0;
  for (const float value : values) squares += value * value;
  const float root_mean_square = std::sqrt(squares / static_cast<float>(kValues));
  std::array<float, kValues> weights;
  for (size_t i = 0; i < kValues; ++i) weights[i] = root_mean_square + std::abs(values[i]);
  return weights;
}

template <size_t kValues>
struct Coded {
  std::array<uint8_t, kValues> codes;
  float error;
};

/// The best codes for value = scale * (q + lowest) + minimum with q in [0, highest - lowest], and Σ weight * error².
template <size_t kValues>
Coded<kValues> encode_part(std::span<const float, kValues> values, const std::array<float, kValues>& weights,
                           Affine affine, int lowest, int highest) {
  const float inverse = affine.scale == 0 ? 0 : 1 / affine.scale;
  const float low = static_cast<float>(lowest), high = static_cast<float>(highest);
  Coded<kValues> coded{{}, 0};
  float errors[kLanes] = {};
  for (size_t i = 0; i < kValues; i += kLanes) {
    for (size_t lane = 0; lane < kLanes; ++lane) {
      const float value = values[i + lane];
      const int q = nearest_code((value - affine.minimum) * inverse, low, high);
      const float difference = value - affine.minimum - affine.scale * static_cast<float>(q);
      coded.codes[i + lane] = static_cast<uint8_t>(q - lowest);
      errors[lane] += weights[i + lane] * difference * difference;
    }
  }
  for (const float error : errors) coded.error += error;
  return coded;
}

int clamp_code(float value, int lowest, int highest) {
  return nearest_code(value, static_cast<float>(lowest), static_cast<float>(highest));
}

// q4_k and q5_k: eight parts of 32 values with a 6-bit scale and a 6-bit minimum each.
constexpr size_t kAffinePart = 32;
constexpr size_t kAffineParts = kBlock / kAffinePart;

struct AffineHeader {
  uint16_t scale, minimum;
  uint8_t part_scales[12];
};

/// The neighbour of the rounded 6-bit pair that loses least, now that the block's own two factors are fixed.
Coded<kAffinePart> choose_part_scale(std::span<const float, kAffinePart> values,
                                     const std::array<float, kAffinePart>& weights, Affine wanted, Affine unit,
                                     int highest, PartScale& chosen) {
  const int scale_code = clamp_code(unit.scale == 0 ? 0 : wanted.scale / unit.scale, 0, 63);
  const int minimum_code = clamp_code(unit.minimum == 0 ? 0 : -wanted.minimum / unit.minimum, 0, 63);
  Coded<kAffinePart> best{{}, INFINITY};
  for (int s = std::max(0, scale_code - 1); s <= std::min(63, scale_code + 1); ++s) {
    for (int m = std::max(0, minimum_code - 1); m <= std::min(63, minimum_code + 1); ++m) {
      const Affine affine{unit.scale * static_cast<float>(s), -(unit.minimum * static_cast<float>(m))};
      const auto coded = encode_part(values, weights, affine, 0, highest);
      if (coded.error < best.error) {
        best = coded;
        chosen = {static_cast<uint8_t>(s), static_cast<uint8_t>(m)};
      }
    }
  }
  return best;
}

AffineHeader encode_affine_block(std::span<const float, kBlock> values, int highest, Codes& codes) {
  std::array<Affine, kAffineParts> wanted;
  std::array<std::array<float, kAffinePart>, kAffineParts> weights;
  Affine largest;
  for (size_t part = 0; part < kAffineParts; ++part) {
    const auto part_values = std::span<const float, kAffinePart>(values.data() + part * kAffinePart, kAffinePart);
    weights[part] = importance(part_values);
    wanted[part] = find_affine(part_values, weights[part], highest, true);
    largest.scale = std::max(largest.scale, wanted[part].scale);
    largest.minimum = std::max(largest.minimum, -wanted[part].minimum);
  }

  AffineHeader header{scale_to_f16(largest.scale / 63), scale_to_f16(largest.minimum / 63), {}};
  const Affine unit{f16_to_f32(header.scale), f16_to_f32(header.minimum)};
  for (size_t part = 0; part < kAffineParts; ++part) {
    const auto part_values = std::span<const float, kAffinePart>(values.data() + part * kAffinePart, kAffinePart);
    PartScale chosen{0, 0};
    const auto coded = choose_part_scale(part_values, weights[part], wanted[part], unit, highest, chosen);
    pack_part_scale(header.part_scales, part, chosen);
    std::copy(coded.codes.begin(), coded.codes.end(), codes.begin() + static_cast<ptrdiff_t>(part * kAffinePart));
  }
  return header;
}

void store_nibbles(const Codes& codes, uint8_t (&nibbles)[128]) {
  for (size_t pair = 0; pair < kAffineParts / 2; ++pair) {
    for (size_t i = 0; i < kAffinePart; ++i) {
      const uint8_t even = codes[(2 * pair) * kAffinePart + i], odd = codes[(2 * pair + 1) * kAffinePart + i];
      nibbles[pair * kAffinePart + i] = static_cast<uint8_t>((even & 15) | (odd & 15) << 4);
    }
  }
}

uint8_t nibble(const uint8_t (&nibbles)[128], size_t part, size_t i) {
  const uint8_t both = nibbles[part / 2 * kAffinePart + i];
  return part % 2 == 0 ? both & 15 : both >> 4;
}

// q6_k: sixteen parts of 16 values with a signed 8-bit scale each.
constexpr size_t kSignedPart = 16;
constexpr size_t kSignedParts = kBlock / kSignedPart;

/// Where value `i` of the block lies: see BlockQ6_K.
struct SixBitPlace {
  size_t low, high;
  int low_shift, high_shift;
};

constexpr SixBitPlace place_of(size_t i) {
  const size_t half = i / 128, quarter = i % 128 / 32, lane = i % 32;
  return {half * 64 + quarter % 2 * 32 + lane, half * 32 + lane, quarter < 2 ? 0 : 4, static_cast<int>(quarter) * 2};
}

BlockQ6_K encode_signed_block(std::span<const float, kBlock> values) {
  std::array<float, kSignedParts> wanted;
  std::array<std::array<float, kSignedPart>, kSignedParts> weights;
  float largest = 0;
  for (size_t part = 0; part < kSignedParts; ++part) {
    const auto part_values = std::span<const float, kSignedPart>(values.data() + part * kSignedPart, kSignedPart);
    weights[part] = importance(part_values);
    wanted[part] = find_scale(part_values, weights[part], -32, 31);
    if (std::abs(wanted[part]) > std::abs(largest)) largest = wanted[part];
  }

  BlockQ6_K block;
  // The largest takes the code -128, the end of the range that reaches further.
  block.scale = scale_to_f16(largest / -128);
  const float unit = f16_to_f32(block.scale);
  Codes codes;
  for (size_t part = 0; part < kSignedParts; ++part) {
    const auto part_values = std::span<const float, kSignedPart>(values.data() + part * kSignedPart, kSignedPart);
    const int rounded = clamp_code(unit == 0 ? 0 : wanted[part] / unit, -128, 127);
    Coded<kSignedPart> best{{}, INFINITY};
    block.part_scales[part] = 0;
    for (int s = std::max(-128, rounded - 1); s <= std::min(127, rounded + 1); ++s) {
      const auto coded = encode_part(part_values, weights[part], {unit * static_cast<float>(s), 0}, -32, 31);
      if (coded.error < best.error) best = coded, block.part_scales[part] = static_cast<int8_t>(s);
    }
    std::copy(best.codes.begin(), best.codes.end(), codes.begin() + static_cast<ptrdiff_t>(part * kSignedPart));
  }
  store_six_bits(codes, block);
  return block;
}

}  // namespace

void store_six_bits(const std::array<uint8_t, 256>& codes, BlockQ6_K& block) {
  std::fill(std::begin(block.low), std::end(block.low), uint8_t{0});
  std::fill(std::begin(block.high), std::end(block.high), uint8_t{0});
  for (size_t i = 0; i < kBlock; ++i) {
    const SixBitPlace place = place_of(i);
    block.low[place.low] |= static_cast<uint8_t>((codes[i] & 15) << place.low_shift);
    block.high[place.high] |= static_cast<uint8_t>(codes[i] >> 4 << place.high_shift);
  }
}

void dequantize_q4_k(std::span<const std::byte> bytes, std::span<float> values) {
  for_each_block<BlockQ4_K, kBlock>(bytes, values, [](const BlockQ4_K& block, std::span<float, kBlock> out) {
    for (size_t part = 0; part < kAffineParts; ++part) {
      const PartScale factors = unpack_part_scale(block.part_scales, part);
      const float scale = f16_to_f32(block.scale) * static_cast<float>(factors.scale);
      const float minimum = f16_to_f32(block.minimum) * static_cast<float>(factors.minimum);
      for (size_t i = 0; i < kAffinePart; ++i) {
        out[part * kAffinePart + i] = scale * static_cast<float>(nibble(block.nibbles, part, i)) - minimum;
      }
    }
  });
}

void dequantize_q5_k(std::span<const std::byte> bytes, std::span<float> values) {
  for_each_block<BlockQ5_K, kBlock>(bytes, values, [](const BlockQ5_K& block, std::span<float, kBlock> out) {
    for (size_t part = 0; part < kAffineParts; ++part) {
      const PartScale factors = unpack_part_scale(block.part_scales, part);
      const float scale = f16_to_f32(block.scale) * static_cast<float>(factors.scale);
      const float minimum = f16_to_f32(block.minimum) * static_cast<float>(factors.minimum);
      for (size_t i = 0; i < kAffinePart; ++i) {
        const int q = nibble(block.nibbles, part, i) | (block.fifth_bits[i] >> part & 1) << 4;
        out[part * kAffinePart + i] = scale * static_cast<float>(q) - minimum;
      }
    }
  });
}

void dequantize_q6_k(std::span<const std::byte> bytes, std::span<float> values) {
  for_each_block<BlockQ6_K, kBlock>(bytes, values, [](const BlockQ6_K& block, std::span<float, kBlock> out) {
    const float unit = f16_to_f32(block.scale);
    for (size_t part = 0; part < kSignedParts; ++part) {
      const float scale = unit * static_cast<float>(block.part_scales[part]);
      const SixBitPlace place = place_of(part * kSignedPart);  // a part's values lie side by side
      for (size_t i = 0; i < kSignedPart; ++i) {
        const int low = block.low[place.low + i] >> place.low_shift & 15;
        const int high = block.high[place.high + i] >> place.high_shift & 3;
        out[part * kSignedPart + i] = scale * static_cast<float>((low | high << 4) - 32);
      }
    }
  });
}

void quantize_q4_k(std::span<const float> values, std::span<std::byte> bytes) {
  make_each_block<BlockQ4_K, kBlock>(values, bytes, [](std::span<const float, kBlock> in) {
    Codes codes;
    const AffineHeader header = encode_affine_block(in, 15, codes);
    BlockQ4_K block;
    block.scale = header.scale, block.minimum = header.minimum;
    std::copy(std::begin(header.part_scales), std::end(header.part_scales), std::begin(block.part_scales));
    store_nibbles(codes, block.nibbles);
    return block;
  });
}

void quantize_q5_k(std::span<const float> values, std::span<std::byte> bytes) {
  make_each_block<BlockQ5_K, kBlock>(values, bytes, [](std::span<const float, kBlock> in) {
    Codes codes;
    const AffineHeader header = encode_affine_block(in, 31, codes);
    BlockQ5_K block;
    block.scale = header.scale, block.minimum = header.minimum;
    std::copy(std::begin(header.part_scales), std::end(header.part_scales), std::begin(block.part_scales));
    store_nibbles(codes, block.nibbles);
    std::fill(std::begin(block.fifth_bits), std::end(block.fifth_bits), uint8_t{0});
    for (size_t i = 0; i < kBlock; ++i) {
      block.fifth_bits[i % kAffinePart] |= static_cast<uint8_t>((codes[i] >> 4 & 1) << (i / kAffinePart));
    }
    return block;
  });
}

void quantize_q6_k(std::span<const float> values, std::span<std::byte> bytes) {
  make_each_block<BlockQ6_K, kBlock>(values, bytes,
                                     [](std::span<const float, kBlock> in) { return encode_signed_block(in); });
}

}  // namespace hearth::encodings
