#include "tensor/low_bit_codes.h"

#include <bit>
#include <cstring>

#include "tensor/float16.h"
#include "tensor/grids.h"
#include "tensor/low_bit_blocks.h"

namespace hearth {
namespace {

constexpr size_t kPart = 16;

/// The eighth sign makes their number even.
uint8_t sign_bits(uint32_t seven) { return static_cast<uint8_t>(seven | (std::popcount(seven) % 2 == 1 ? 0x80U : 0U)); }

/// Magnitudes of a group of a grid with `bits` for each value, and their signs.
template <size_t kCount, size_t kMagnitudes>
void store_group(uint32_t group, const int8_t (&magnitudes)[kMagnitudes], uint8_t signs, int8_t* out) {
  constexpr unsigned kBits = std::bit_width(kMagnitudes - 1);
  for (size_t i = 0; i < kCount; ++i) {
    const int8_t magnitude = magnitudes[group >> (kBits * i) & (kMagnitudes - 1)];
    out[i] = (signs >> i & 1) != 0 ? static_cast<int8_t>(-magnitude) : magnitude;
  }
}

void set_scales(LowBitCodes& out, size_t first_value, size_t values, float scale) {
  for (size_t part = first_value / kPart; part < (first_value + values) / kPart; ++part) out.scales[part] = scale;
}

void decode(const BlockQ3_K& block, LowBitCodes& out) {
  out.unit = f16_to_f32(block.scale);
  for (size_t part = 0; part < 16; ++part) {
    const int low = block.part_scales[part % 8] >> (part / 8 * 4) & 15;
    const int high = block.part_scales[8 + part % 4] >> (part / 4 * 2) & 3;
    out.scales[part] = out.unit * static_cast<float>((low | high << 4) - 32);
    const size_t half = part / 8, shift = part % 8 / 2, odd = part % 2;
    for (size_t i = 0; i < kPart; ++i) {
      const int two = block.codes[32 * half + 16 * odd + i] >> (2 * shift) & 3;
      const int third = block.third_bits[16 * odd + i] >> (4 * half + shift) & 1;
      out.codes[part * kPart + i] = static_cast<int8_t>(two + 4 * third - 4);
    }
  }
}

void decode(const BlockIq4Nl& block, LowBitCodes& out) {
  set_scales(out, 0, 32, f16_to_f32(block.scale));
  for (size_t i = 0; i < 16; ++i) {
    out.codes[i] = kIq4Values[block.nibbles[i] & 15];
    out.codes[16 + i] = kIq4Values[block.nibbles[i] >> 4];
  }
}

void decode(const BlockIq4Xs& block, LowBitCodes& out) {
  for (size_t part = 0; part < 8; ++part) {
    const int low = block.low_scales[part / 2] >> (part % 2 * 4) & 15, high = block.high_scales >> (2 * part) & 3;
    set_scales(out, 32 * part, 32, f16_to_f32(block.scale) * static_cast<float>((low | high << 4) - 32));
    for (size_t i = 0; i < 16; ++i) {
      const uint8_t both = block.nibbles[16 * part + i];
      out.codes[32 * part + i] = kIq4Values[both & 15];
      out.codes[32 * part + 16 + i] = kIq4Values[both >> 4];
    }
  }
}

int8_t third(uint8_t byte, uint8_t power) {
  return static_cast<int8_t>((static_cast<uint8_t>(byte * power) * 3 >> 8) - 1);
}

void decode(const BlockTq1_0& block, LowBitCodes& out) {
  set_scales(out, 0, 256, f16_to_f32(block.scale));
  constexpr uint8_t kPowers[] = {1, 3, 9, 27, 81};
  for (size_t n = 0; n < 5; ++n) {
    for (size_t i = 0; i < 32; ++i) out.codes[32 * n + i] = third(block.fives[i], kPowers[n]);
    for (size_t i = 0; i < 16; ++i) out.codes[160 + 16 * n + i] = third(block.fives[32 + i], kPowers[n]);
  }
  for (size_t n = 0; n < 4; ++n) {
    for (size_t i = 0; i < 4; ++i) out.codes[240 + 4 * n + i] = third(block.fours[i], kPowers[n]);
  }
}

void decode(const BlockTq2_0& block, LowBitCodes& out) {
  set_scales(out, 0, 256, f16_to_f32(block.scale));
  for (size_t i = 0; i < 256; ++i) {
    const uint8_t four = block.codes[i / 128 * 32 + i % 32];
    out.codes[i] = static_cast<int8_t>((four >> (i % 128 / 32 * 2) & 3) - 1);
  }
}

void decode(const BlockIq2Xxs& block, LowBitCodes& out) {
  for (size_t part = 0; part < 8; ++part) {
    const uint32_t indices = block.parts[2 * part], signs = block.parts[2 * part + 1];
    set_scales(out, 32 * part, 32, f16_to_f32(block.scale) * (0.5F + static_cast<float>(signs >> 28)) * 0.25F);
    for (size_t group = 0; group < 4; ++group) {
      store_group<8>(kGrid2Xxs[indices >> (8 * group) & 255], kMagnitudes2, sign_bits(signs >> (7 * group) & 127),
                     &out.codes[32 * part + 8 * group]);
    }
  }
}

/// Two groups of 8 a nibble.
float scale_of_16(uint16_t scale, const uint8_t (&part_scales)[8], size_t part) {
  const int nibble = part_scales[part / 2] >> (part % 2 * 4) & 15;
  return f16_to_f32(scale) * (0.5F + static_cast<float>(nibble)) * 0.25F;
}

void decode(const BlockIq2Xs& block, LowBitCodes& out) {
  for (size_t part = 0; part < 16; ++part) out.scales[part] = scale_of_16(block.scale, block.part_scales, part);
  for (size_t group = 0; group < 32; ++group) {
    const uint16_t bits = block.groups[group];
    store_group<8>(kGrid2Xs[bits & 511], kMagnitudes2, sign_bits(bits >> 9), &out.codes[8 * group]);
  }
}

void decode(const BlockIq2S& block, LowBitCodes& out) {
  for (size_t part = 0; part < 16; ++part) out.scales[part] = scale_of_16(block.scale, block.part_scales, part);
  for (size_t group = 0; group < 32; ++group) {
    const uint32_t high = block.high_bits[group / 4] >> (group % 4 * 2) & 3U;
    store_group<8>(kGrid2S[block.indices[group] | high << 8], kMagnitudes2, block.signs[group], &out.codes[8 * group]);
  }
}

void decode(const BlockIq3Xxs& block, LowBitCodes& out) {
  for (size_t part = 0; part < 8; ++part) {
    const uint32_t bits = block.parts[part];
    set_scales(out, 32 * part, 32, f16_to_f32(block.scale) * (0.5F + static_cast<float>(bits >> 28)) * 0.5F);
    for (size_t group = 0; group < 8; ++group) {
      const uint8_t signs = sign_bits(bits >> (group / 2 * 7) & 127);
      store_group<4>(kGrid3Xxs[block.indices[8 * part + group]], kMagnitudes3Xxs,
                     static_cast<uint8_t>(signs >> (group % 2 * 4)), &out.codes[32 * part + 4 * group]);
    }
  }
}

void decode(const BlockIq3S& block, LowBitCodes& out) {
  for (size_t part = 0; part < 8; ++part) {
    const int nibble = block.part_scales[part / 2] >> (part % 2 * 4) & 15;
    set_scales(out, 32 * part, 32, f16_to_f32(block.scale) * static_cast<float>(1 + 2 * nibble));
  }
  for (size_t group = 0; group < 64; ++group) {
    const uint32_t high = block.high_bits[group / 8] >> (group % 8) & 1U;
    store_group<4>(kGrid3S[block.indices[group] | high << 8], kMagnitudes3S,
                   static_cast<uint8_t>(block.signs[group / 2] >> (group % 2 * 4)), &out.codes[4 * group]);
  }
}

/// Eight times g + delta, for a scale that is an eighth.
void store_group_of_three(uint32_t group, bool is_below, int8_t* out) {
  for (size_t i = 0; i < 8; ++i) {
    const int g = static_cast<int>(group >> (2 * i) & 3U) - 1;
    out[i] = static_cast<int8_t>(8 * g + (is_below ? -1 : 1));
  }
}

void decode(const BlockIq1S& block, LowBitCodes& out) {
  for (size_t part = 0; part < 8; ++part) {
    const uint16_t bits = block.parts[part];
    set_scales(out, 32 * part, 32, f16_to_f32(block.scale) * static_cast<float>(2 * (bits >> 12 & 7) + 1) / 8);
    for (size_t group = 0; group < 4; ++group) {
      const uint32_t high = bits >> (3 * group) & 7U;
      store_group_of_three(kGrid1[block.indices[4 * part + group] | high << 8], (bits & 0x8000) != 0,
                           &out.codes[32 * part + 8 * group]);
    }
  }
}

void decode(const BlockIq1M& block, LowBitCodes& out) {
  uint16_t scale = 0;
  for (size_t word = 0; word < 4; ++word) scale |= static_cast<uint16_t>((block.part_scales[word] >> 12) << (4 * word));
  out.unit = f16_to_f32(scale) / 8;
  for (size_t part = 0; part < 16; ++part) {
    const int three = block.part_scales[part / 4] >> (part % 4 * 3) & 7;
    out.scales[part] = out.unit * static_cast<float>(2 * three + 1);
  }
  for (size_t group = 0; group < 32; ++group) {
    const uint32_t nibble = block.high_bits[group / 2] >> (group % 2 * 4) & 15U;
    store_group_of_three(kGrid1[block.indices[group] | (nibble & 7) << 8], (nibble & 8) != 0, &out.codes[8 * group]);
  }
}

template <class Block>
void decode_at(std::span<const std::byte> bytes, LowBitCodes& out) {
  Block block;
  std::memcpy(&block, bytes.data(), sizeof(Block));
  decode(block, out);
}

using DecodeAt = void (*)(std::span<const std::byte> bytes, LowBitCodes& out);

DecodeAt decoder_of(NumberFormat format) {
  switch (format) {
    case NumberFormat::q3_k:
      return decode_at<BlockQ3_K>;
    case NumberFormat::iq1_s:
      return decode_at<BlockIq1S>;
    case NumberFormat::iq1_m:
      return decode_at<BlockIq1M>;
    case NumberFormat::iq2_xxs:
      return decode_at<BlockIq2Xxs>;
    case NumberFormat::iq2_xs:
      return decode_at<BlockIq2Xs>;
    case NumberFormat::iq2_s:
      return decode_at<BlockIq2S>;
    case NumberFormat::iq3_xxs:
      return decode_at<BlockIq3Xxs>;
    case NumberFormat::iq3_s:
      return decode_at<BlockIq3S>;
    case NumberFormat::iq4_nl:
      return decode_at<BlockIq4Nl>;
    case NumberFormat::iq4_xs:
      return decode_at<BlockIq4Xs>;
    case NumberFormat::tq1_0:
      return decode_at<BlockTq1_0>;
    case NumberFormat::tq2_0:
      return decode_at<BlockTq2_0>;
    default:
      return nullptr;
  }
}

}  // namespace

bool has_low_bit_codes(NumberFormat format) { return decoder_of(format) != nullptr; }

void decode_low_bits(NumberFormat format, std::span<const std::byte> block, LowBitCodes& out) {
  decoder_of(format)(block, out);
}

}  // namespace hearth
