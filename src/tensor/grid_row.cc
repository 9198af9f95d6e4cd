#include "tensor/grid_row.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cassert>
#include <cmath>
#include <cstring>

#include "tensor/blocks.h"
#include "tensor/encodings.h"
#include "tensor/float16.h"
#include "tensor/quantize.h"
#include "tensor/scale_search.h"

namespace hearth {
namespace {

constexpr size_t kBlock = GridRow::kBlock;
using Values = std::span<const float, kBlock>;

// Loops without branches: they are what loading such a checkpoint costs, and become vector code only so.

/// The integer nearest to a number within ±2^22. Ties go to even.
int32_t nearest(float value) {
  // Adding 1.5 * 2^23 shifts the fraction out and leaves the integer in the low bits.
  return std::bit_cast<int32_t>(value + 12582912.0F) - 0x4b400000;
}

/// The integers of values on a grid, of which rounding finds the right one: a product of an integer of nine bits and a
/// step is off by less than 2^-22 of an integer.
std::array<uint8_t, kBlock> codes_from(Values values, float lowest, float step) {
  const float inverse = step == 0 ? 0 : 1 / step;
  std::array<uint8_t, kBlock> codes;
  for (size_t i = 0; i < kBlock; ++i) codes[i] = static_cast<uint8_t>(nearest((values[i] - lowest) * inverse));
  return codes;
}

BlockQ4_0 make_q4_0(Values values, float step, float) {
  BlockQ4_0 block{.scale = scale_to_f16(step), .nibbles = {}};
  encodings::store(codes_from(values, -8 * step, step), block.nibbles);
  return block;
}

BlockQ4_1 make_q4_1(Values values, float step, float lowest) {
  BlockQ4_1 block{.scale = scale_to_f16(step), .minimum = scale_to_f16(lowest), .nibbles = {}};
  encodings::store(codes_from(values, lowest, step), block.nibbles);
  return block;
}

float largest_of(Values values) {
  int32_t largest = 0;  // bits of numbers without a sign are in their order
  for (size_t i = 0; i < kBlock; ++i) {
    const int32_t bits = std::bit_cast<int32_t>(values[i]) & 0x7fffffff;
    largest = bits > largest ? bits : largest;
  }
  return std::bit_cast<float>(largest);
}

BlockQ8_0 make_q8_0(Values values, float step, float) {
  const float largest = largest_of(values);
  const bool fits = largest <= 127.5F * std::abs(step);
  BlockQ8_0 block{.scale = scale_to_f16(fits ? step : largest / 127), .values = {}};
  // On a grid the integers are known; else they are the nearest of what the rounded scale makes, unless f16 has none
  // that is large enough.
  const float rounded = f16_to_f32(block.scale), used = fits                         ? step
                                                        : largest > 127.4F * rounded ? largest / 127
                                                                                     : rounded;
  const float inverse = used == 0 ? 0 : 1 / used;
  for (size_t i = 0; i < kBlock; ++i) block.values[i] = static_cast<int8_t>(nearest(values[i] * inverse));
  return block;
}

template <auto kMake>
void pack(const GridRow& row, std::span<std::byte> out) {
  for (size_t i = 0; i < row.values.size() / kBlock; ++i) {
    const auto block = kMake(Values(&row.values[i * kBlock], kBlock), row.steps[i], row.lowest[i]);
    std::memcpy(out.data() + i * sizeof(block), &block, sizeof(block));
  }
}

}  // namespace

void GridRow::resize(size_t columns) {
  values.resize(columns);
  steps.assign(columns / kBlock, 0);
  lowest.assign(columns / kBlock, 0);
}

bool can_hold_grids(NumberFormat format) {
  using enum NumberFormat;
  return format == f32 || format == bf16 || format == q4_0 || format == q4_1 || format == q8_0;
}

void pack_grid_row(const GridRow& row, NumberFormat format, std::span<std::byte> out) {
  assert(can_hold_grids(format) && out.size() == bytes_of(format, row.values.size()));
  if (format == NumberFormat::q4_0) {
    pack<make_q4_0>(row, out);
  } else if (format == NumberFormat::q4_1) {
    pack<make_q4_1>(row, out);
  } else if (format == NumberFormat::q8_0) {
    pack<make_q8_0>(row, out);
  } else {
    quantize_row(format, row.values, out);
  }
}

}  // namespace hearth
