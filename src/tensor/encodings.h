#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>

#include "tensor/blocks.h"
#include "tensor/number_format.h"

// What quantize.cc's table points to; one pair for each number format. `bytes` and `values` have matching sizes.

namespace hearth::encodings {

using Dequantize = void (*)(std::span<const std::byte> bytes, std::span<float> values);
using Quantize = void (*)(std::span<const float> values, std::span<std::byte> bytes);

// encodings_plain.cc
void dequantize_f32(std::span<const std::byte> bytes, std::span<float> values);
void dequantize_f16(std::span<const std::byte> bytes, std::span<float> values);
void dequantize_bf16(std::span<const std::byte> bytes, std::span<float> values);
void dequantize_i8(std::span<const std::byte> bytes, std::span<float> values);
void dequantize_u8(std::span<const std::byte> bytes, std::span<float> values);
void dequantize_i32(std::span<const std::byte> bytes, std::span<float> values);
void dequantize_f8_e4m3(std::span<const std::byte> bytes, std::span<float> values);
void dequantize_f8_e5m2(std::span<const std::byte> bytes, std::span<float> values);
void dequantize_f8_e8m0(std::span<const std::byte> bytes, std::span<float> values);
void quantize_f32(std::span<const float> values, std::span<std::byte> bytes);
void quantize_f16(std::span<const float> values, std::span<std::byte> bytes);
void quantize_bf16(std::span<const float> values, std::span<std::byte> bytes);
void quantize_i8(std::span<const float> values, std::span<std::byte> bytes);
void quantize_u8(std::span<const float> values, std::span<std::byte> bytes);
void quantize_i32(std::span<const float> values, std::span<std::byte> bytes);

// encodings_32.cc
void dequantize_q4_0(std::span<const std::byte> bytes, std::span<float> values);
void dequantize_q4_1(std::span<const std::byte> bytes, std::span<float> values);
void dequantize_q5_0(std::span<const std::byte> bytes, std::span<float> values);
void dequantize_q5_1(std::span<const std::byte> bytes, std::span<float> values);
void dequantize_q8_0(std::span<const std::byte> bytes, std::span<float> values);
void dequantize_mxfp4(std::span<const std::byte> bytes, std::span<float> values);
void quantize_q4_0(std::span<const float> values, std::span<std::byte> bytes);
void quantize_q4_1(std::span<const float> values, std::span<std::byte> bytes);
void quantize_q5_0(std::span<const float> values, std::span<std::byte> bytes);
void quantize_q5_1(std::span<const float> values, std::span<std::byte> bytes);
void quantize_q8_0(std::span<const float> values, std::span<std::byte> bytes);
void quantize_mxfp4(std::span<const float> values, std::span<std::byte> bytes);
/// Codes of four or five bits into their places.
void store(const std::array<uint8_t, 32>& codes, uint8_t (&nibbles)[16]);
void store(const std::array<uint8_t, 32>& codes, uint8_t (&nibbles)[16], uint8_t (&fifth_bits)[4]);

// encodings_k.cc
void dequantize_q4_k(std::span<const std::byte> bytes, std::span<float> values);
void dequantize_q5_k(std::span<const std::byte> bytes, std::span<float> values);
void dequantize_q6_k(std::span<const std::byte> bytes, std::span<float> values);
void quantize_q4_k(std::span<const float> values, std::span<std::byte> bytes);
void quantize_q5_k(std::span<const float> values, std::span<std::byte> bytes);
void quantize_q6_k(std::span<const float> values, std::span<std::byte> bytes);
/// Codes of six bits into their places.
void store_six_bits(const std::array<uint8_t, 256>& codes, BlockQ6_K& block);

// encodings_low_bits.cc
void dequantize_q2_k(std::span<const std::byte> bytes, std::span<float> values);
/// Of a format that has_low_bit_codes.
void dequantize_low_bits(NumberFormat format, std::span<const std::byte> bytes, std::span<float> values);

/// Calls decode(block, values of the block) for every block. Blocks are copied out, as they may lie unaligned.
template <class Block, size_t kValues, class Decode>
void for_each_block(std::span<const std::byte> bytes, std::span<float> values, Decode decode) {
  for (size_t i = 0; i < values.size() / kValues; ++i) {
    Block block;
    std::memcpy(&block, bytes.data() + i * sizeof(Block), sizeof(Block));
    decode(block, std::span<float, kValues>(values.data() + i * kValues, kValues));
  }
}

/// Stores encode(values of the block) for every block.
template <class Block, size_t kValues, class Encode>
void make_each_block(std::span<const float> values, std::span<std::byte> bytes, Encode encode) {
  for (size_t i = 0; i < values.size() / kValues; ++i) {
    const Block block = encode(std::span<const float, kValues>(values.data() + i * kValues, kValues));
    std::memcpy(bytes.data() + i * sizeof(Block), &block, sizeof(Block));
  }
}

}  // namespace hearth::encodings
