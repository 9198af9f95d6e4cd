#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>

#include "tensor/number_format.h"

namespace hearth {

/// Values of one block as integers: value i is scales[i / 16] * codes[i].
struct LowBitCodes {
  std::array<float, 16> scales;
  std::array<int8_t, 256> codes;
  float unit;  ///< of which all scales are small multiples, for formats with parts of 16 (q3_k, iq1_m); else unset
};

/// Whether a format's values are such: those of files only, but q2_k, which has minimums.
bool has_low_bit_codes(NumberFormat format);

/// Of one block of such a format; of iq4_nl's 32 values the others stay as they are. Exact.
void decode_low_bits(NumberFormat format, std::span<const std::byte> block, LowBitCodes& out);

}  // namespace hearth
