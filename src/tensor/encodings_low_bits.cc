#include <algorithm>
#include <cmath>

#include "tensor/encodings.h"
#include "tensor/float16.h"
#include "tensor/low_bit_blocks.h"
#include "tensor/low_bit_codes.h"

namespace hearth::encodings {

void dequantize_q2_k(std::span<const std::byte> bytes, std::span<float> values) {
  for_each_block<BlockQ2_K, 256>(bytes, values, [](const BlockQ2_K& block, std::span<float, 256> out) {
    for (size_t part = 0; part < 16; ++part) {
      const float scale = f16_to_f32(block.scale) * static_cast<float>(block.part_factors[part] & 15);
      const float minimum = f16_to_f32(block.minimum) * static_cast<float>(block.part_factors[part] >> 4);
      for (size_t i = 0; i < 16; ++i) {
        const int q = block.codes[part / 8 * 32 + part % 2 * 16 + i] >> (part % 8 / 2 * 2) & 3;
        out[16 * part + i] = scale * static_cast<float>(q) - minimum;
      }
    }
  });
}

void dequantize_low_bits(NumberFormat format, std::span<const std::byte> bytes, std::span<float> values) {
  const FormatTraits& t = traits(format);
  LowBitCodes codes;
  for (size_t block = 0; block < values.size() / t.block_values; ++block) {
    decode_low_bits(format, bytes.subspan(block * t.block_bytes, t.block_bytes), codes);
    float* const out = values.data() + block * t.block_values;
    for (size_t i = 0; i < t.block_values; ++i) out[i] = codes.scales[i / 16] * static_cast<float>(codes.codes[i]);
  }
}

}  // namespace hearth::encodings
