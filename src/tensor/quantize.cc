#include "tensor/quantize.h"

#include <array>
#include <cassert>

#include "tensor/encodings.h"

namespace hearth {
namespace {

struct Encoding {
  encodings::Dequantize dequantize;
  encodings::Quantize quantize;
};

template <NumberFormat kFormat>
void dequantize_low_bits(std::span<const std::byte> bytes, std::span<float> values) {
  encodings::dequantize_low_bits(kFormat, bytes, values);
}

// In the order of the enumeration NumberFormat. What is in files only is never made.
constexpr std::array<Encoding, kNumberFormatCount> kEncodings = {{
    {encodings::dequantize_f32, encodings::quantize_f32},
    {encodings::dequantize_f16, encodings::quantize_f16},
    {encodings::dequantize_bf16, encodings::quantize_bf16},
    {encodings::dequantize_i8, encodings::quantize_i8},
    {encodings::dequantize_u8, encodings::quantize_u8},
    {encodings::dequantize_i32, encodings::quantize_i32},
    {encodings::dequantize_q4_0, encodings::quantize_q4_0},
    {encodings::dequantize_q4_1, encodings::quantize_q4_1},
    {encodings::dequantize_q5_0, encodings::quantize_q5_0},
    {encodings::dequantize_q5_1, encodings::quantize_q5_1},
    {encodings::dequantize_q8_0, encodings::quantize_q8_0},
    {encodings::dequantize_q4_k, encodings::quantize_q4_k},
    {encodings::dequantize_q5_k, encodings::quantize_q5_k},
    {encodings::dequantize_q6_k, encodings::quantize_q6_k},
    {encodings::dequantize_mxfp4, encodings::quantize_mxfp4},
    {encodings::dequantize_q2_k, nullptr},
    {dequantize_low_bits<NumberFormat::q3_k>, nullptr},
    {dequantize_low_bits<NumberFormat::iq1_s>, nullptr},
    {dequantize_low_bits<NumberFormat::iq1_m>, nullptr},
    {dequantize_low_bits<NumberFormat::iq2_xxs>, nullptr},
    {dequantize_low_bits<NumberFormat::iq2_xs>, nullptr},
    {dequantize_low_bits<NumberFormat::iq2_s>, nullptr},
    {dequantize_low_bits<NumberFormat::iq3_xxs>, nullptr},
    {dequantize_low_bits<NumberFormat::iq3_s>, nullptr},
    {dequantize_low_bits<NumberFormat::iq4_nl>, nullptr},
    {dequantize_low_bits<NumberFormat::iq4_xs>, nullptr},
    {dequantize_low_bits<NumberFormat::tq1_0>, nullptr},
    {dequantize_low_bits<NumberFormat::tq2_0>, nullptr},
    {encodings::dequantize_f8_e4m3, nullptr},
    {encodings::dequantize_f8_e5m2, nullptr},
    {encodings::dequantize_f8_e8m0, nullptr},
}};

}  // namespace

void dequantize_row(NumberFormat format, std::span<const std::byte> bytes, std::span<float> out) {
  assert(bytes.size() == bytes_of(format, out.size()));
  kEncodings[static_cast<size_t>(format)].dequantize(bytes, out);
}

void quantize_row(NumberFormat format, std::span<const float> values, std::span<std::byte> bytes) {
  assert(bytes.size() == bytes_of(format, values.size()));
  assert(kEncodings[static_cast<size_t>(format)].quantize != nullptr);
  kEncodings[static_cast<size_t>(format)].quantize(values, bytes);
}

}  // namespace hearth
