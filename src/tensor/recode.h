#pragma once

#include <cstddef>
#include <span>

#include "tensor/number_format.h"

namespace hearth {

/// The format in which devices hold values of `format`: itself, but for those that are in files only. Those become the
/// smallest one that has their values exactly, but for the rounding of a part's scale to f16 (2^-11): q3_k and iq1_m
/// q6_k, tq1_0 and tq2_0 q4_0, iq1_s and iq3_s q5_0, iq2_xxs, iq3_xxs, iq4_nl and iq4_xs q8_0. q2_k, iq2_xs and
/// iq2_s, whose parts are shorter than a block of any format that could, become q8_0 with an error of at most 1/254 of
/// the largest value of a block. 8-bit floats become bf16, and exponents alone f32, which have them all.
NumberFormat held_as(NumberFormat format);

/// A row, or several, in the format held_as(format) says; `out` has exactly its bytes. Thread-safe.
void recode_row(NumberFormat format, std::span<const std::byte> bytes, std::span<std::byte> out);

}  // namespace hearth
