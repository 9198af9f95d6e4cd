#include "tensor/recode.h"

#include <algorithm>
#include <array>
#include <cassert>
#include <cmath>
#include <cstring>
#include <vector>

#include "tensor/blocks.h"
#include "tensor/encodings.h"
#include "tensor/float16.h"
#include "tensor/low_bit_codes.h"
#include "tensor/quantize.h"
#include "tensor/scale_search.h"

namespace hearth {
namespace {

constexpr size_t kBlock = 32;

/// 32 values of one scale.
struct Codes32 {
  float scale;
  std::span<const int8_t, kBlock> codes;
};

/// Without a sign.
std::array<uint8_t, kBlock> from_lowest(const Codes32& from, int lowest) {
  std::array<uint8_t, kBlock> codes;
  std::ranges::transform(from.codes, codes.begin(), [&](int8_t code) { return static_cast<uint8_t>(code - lowest); });
  return codes;
}

BlockQ4_0 as_q4_0(const Codes32& from) {
  BlockQ4_0 block{.scale = scale_to_f16(from.scale), .nibbles = {}};
  encodings::store(from_lowest(from, -8), block.nibbles);
  return block;
}

BlockQ5_0 as_q5_0(const Codes32& from) {
  BlockQ5_0 block{.scale = scale_to_f16(from.scale), .fifth_bits = {}, .nibbles = {}};
  encodings::store(from_lowest(from, -16), block.nibbles, block.fifth_bits);
  return block;
}

BlockQ8_0 as_q8_0(const Codes32& from) {
  BlockQ8_0 block{.scale = scale_to_f16(from.scale), .values = {}};
  std::ranges::copy(from.codes, block.values);
  return block;
}

BlockQ8_0 round_to_q8_0(std::span<const float, kBlock> values) {
  float largest = 0;
  for (const float value : values) largest = std::max(largest, std::abs(value));
  BlockQ8_0 block{.scale = scale_to_f16(largest / 127), .values = {}};
  const float scale = f16_to_f32(block.scale), inverse = scale == 0 ? 0 : 1 / scale;
  for (size_t i = 0; i < kBlock; ++i) {
    block.values[i] = static_cast<int8_t>(nearest_code(values[i] * inverse, -127, 127));
  }
  return block;
}

BlockQ6_K as_q6_k(const LowBitCodes& from) {
  BlockQ6_K block{.low = {}, .high = {}, .part_scales = {}, .scale = scale_to_f16(from.unit)};
  for (size_t part = 0; part < 16; ++part) {
    block.part_scales[part] = static_cast<int8_t>(from.unit == 0 ? 0 : std::lround(from.scales[part] / from.unit));
  }
  std::array<uint8_t, 256> codes;
  std::ranges::transform(from.codes, codes.begin(), [](int8_t code) { return static_cast<uint8_t>(code + 32); });
  encodings::store_six_bits(codes, block);
  return block;
}

template <class Block>
void put(const Block& block, std::span<std::byte>& out) {
  std::memcpy(out.data(), &block, sizeof(block));
  out = out.subspan(sizeof(block));
}

/// Blocks of 32 of one scale each.
template <auto kMake>
void recode_parts(NumberFormat format, std::span<const std::byte> bytes, std::span<std::byte> out) {
  const FormatTraits& t = traits(format);
  LowBitCodes codes;
  for (; !bytes.empty(); bytes = bytes.subspan(t.block_bytes)) {
    decode_low_bits(format, bytes.first(t.block_bytes), codes);
    for (size_t i = 0; i < t.block_values; i += kBlock) {
      put(kMake({codes.scales[i / 16], std::span<const int8_t, kBlock>(&codes.codes[i], kBlock)}), out);
    }
  }
}

void recode_short_parts(NumberFormat format, std::span<const std::byte> bytes, std::span<std::byte> out) {
  const size_t block_bytes = traits(format).block_bytes;
  LowBitCodes codes;
  for (; !bytes.empty(); bytes = bytes.subspan(block_bytes)) {
    decode_low_bits(format, bytes.first(block_bytes), codes);
    put(as_q6_k(codes), out);
  }
}

void recode_by_value(NumberFormat format, std::span<const std::byte> bytes, std::span<std::byte> out) {
  const FormatTraits& t = traits(format);
  std::array<float, 256> values;
  for (; !bytes.empty(); bytes = bytes.subspan(t.block_bytes)) {
    dequantize_row(format, bytes.first(t.block_bytes), std::span(values).first(t.block_values));
    for (size_t i = 0; i < t.block_values; i += kBlock) {
      put(round_to_q8_0(std::span<const float, kBlock>(&values[i], kBlock)), out);
    }
  }
}

}  // namespace

NumberFormat held_as(NumberFormat format) {
  switch (format) {
    case NumberFormat::q3_k:
    case NumberFormat::iq1_m:
      return NumberFormat::q6_k;
    case NumberFormat::tq1_0:
    case NumberFormat::tq2_0:
      return NumberFormat::q4_0;
    case NumberFormat::iq1_s:
    case NumberFormat::iq3_s:
      return NumberFormat::q5_0;
    case NumberFormat::q2_k:
    case NumberFormat::iq2_xxs:
    case NumberFormat::iq2_xs:
    case NumberFormat::iq2_s:
    case NumberFormat::iq3_xxs:
    case NumberFormat::iq4_nl:
    case NumberFormat::iq4_xs:
      return NumberFormat::q8_0;
    case NumberFormat::f8_e4m3:
    case NumberFormat::f8_e5m2:
      return NumberFormat::bf16;
    case NumberFormat::f8_e8m0:
      return NumberFormat::f32;
    default:
      return format;
  }
}

void recode_row(NumberFormat format, std::span<const std::byte> bytes, std::span<std::byte> out) {
  const NumberFormat held = held_as(format);
  assert(out.size() == bytes_of(held, bytes.size() / traits(format).block_bytes * traits(format).block_values));
  if (held == format) {
    std::ranges::copy(bytes, out.begin());
  } else if (traits(format).block_values == 1) {
    std::vector<float> values(bytes.size() / traits(format).block_bytes);
    dequantize_row(format, bytes, values);
    quantize_row(held, values, out);
  } else if (format == NumberFormat::q2_k || format == NumberFormat::iq2_xs || format == NumberFormat::iq2_s) {
    recode_by_value(format, bytes, out);
  } else if (held == NumberFormat::q6_k) {
    recode_short_parts(format, bytes, out);
  } else if (held == NumberFormat::q4_0) {
    recode_parts<as_q4_0>(format, bytes, out);
  } else if (held == NumberFormat::q5_0) {
    recode_parts<as_q5_0>(format, bytes, out);
  } else {
    recode_parts<as_q8_0>(format, bytes, out);
  }
}

}  // namespace hearth
