#include <array>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <limits>

#include "tensor/encodings.h"
#include "tensor/float16.h"

namespace hearth::encodings {
namespace {

template <class Stored, class Widen>
void widen_each(std::span<const std::byte> bytes, std::span<float> values, Widen widen) {
  for (size_t i = 0; i < values.size(); ++i) {
    Stored stored;
    std::memcpy(&stored, bytes.data() + i * sizeof(Stored), sizeof(Stored));
    values[i] = widen(stored);
  }
}

template <class Stored, class Narrow>
void narrow_each(std::span<const float> values, std::span<std::byte> bytes, Narrow narrow) {
  for (size_t i = 0; i < values.size(); ++i) {
    const Stored stored = narrow(values[i]);
    std::memcpy(bytes.data() + i * sizeof(Stored), &stored, sizeof(Stored));
  }
}

/// Rounds to nearest, ties to even; what does not fit becomes the nearest that does, NaN becomes 0.
template <class Integer>
Integer saturate(float value) {
  if (std::isnan(value)) return 0;
  const double rounded = std::nearbyint(static_cast<double>(value));
  if (rounded <= std::numeric_limits<Integer>::min()) return std::numeric_limits<Integer>::min();
  if (rounded >= std::numeric_limits<Integer>::max()) return std::numeric_limits<Integer>::max();
  return static_cast<Integer>(rounded);
}

template <class Integer>
float to_float(Integer value) {
  return static_cast<float>(value);
}

float f8_e4m3_to_f32(uint8_t bits) {
  const int exponent = bits >> 3 & 15, mantissa = bits & 7;
  if (exponent == 15 && mantissa == 7) return std::numeric_limits<float>::quiet_NaN();
  const auto magnitude = exponent == 0 ? std::ldexp(static_cast<float>(mantissa), -9)
                                       : std::ldexp(static_cast<float>(8 + mantissa), exponent - 10);
  return bits < 128 ? magnitude : -magnitude;
}

/// The upper half of an f16.
float f8_e5m2_to_f32(uint8_t bits) { return f16_to_f32(static_cast<uint16_t>(bits << 8)); }

float f8_e8m0_to_f32(uint8_t bits) {
  return bits == 255 ? std::numeric_limits<float>::quiet_NaN() : std::ldexp(1.0F, bits - 127);
}

/// Every byte's number, made once.
template <float (*kToFloat)(uint8_t)>
void look_up_each(std::span<const std::byte> bytes, std::span<float> values) {
  static const auto numbers = [] {
    std::array<float, 256> all = {};
    for (size_t i = 0; i < all.size(); ++i) all[i] = kToFloat(static_cast<uint8_t>(i));
    return all;
  }();
  for (size_t i = 0; i < values.size(); ++i) values[i] = numbers[std::to_integer<size_t>(bytes[i])];
}

}  // namespace

void dequantize_f32(std::span<const std::byte> bytes, std::span<float> values) {
  if (!values.empty()) std::memcpy(values.data(), bytes.data(), values.size_bytes());
}
void dequantize_f16(std::span<const std::byte> bytes, std::span<float> values) {
  widen_each<uint16_t>(bytes, values, f16_to_f32);
}
void dequantize_bf16(std::span<const std::byte> bytes, std::span<float> values) {
  widen_each<uint16_t>(bytes, values, bf16_to_f32);
}
void dequantize_i8(std::span<const std::byte> bytes, std::span<float> values) {
  widen_each<int8_t>(bytes, values, to_float<int8_t>);
}
void dequantize_u8(std::span<const std::byte> bytes, std::span<float> values) {
  widen_each<uint8_t>(bytes, values, to_float<uint8_t>);
}
void dequantize_i32(std::span<const std::byte> bytes, std::span<float> values) {
  widen_each<int32_t>(bytes, values, to_float<int32_t>);
}
void dequantize_f8_e4m3(std::span<const std::byte> bytes, std::span<float> values) {
  look_up_each<f8_e4m3_to_f32>(bytes, values);
}
void dequantize_f8_e5m2(std::span<const std::byte> bytes, std::span<float> values) {
  look_up_each<f8_e5m2_to_f32>(bytes, values);
}
void dequantize_f8_e8m0(std::span<const std::byte> bytes, std::span<float> values) {
  look_up_each<f8_e8m0_to_f32>(bytes, values);
}

void quantize_f32(std::span<const float> values, std::span<std::byte> bytes) {
  if (!values.empty()) std::memcpy(bytes.data(), values.data(), values.size_bytes());
}
void quantize_f16(std::span<const float> values, std::span<std::byte> bytes) {
  narrow_each<uint16_t>(values, bytes, f32_to_f16);
}
void quantize_bf16(std::span<const float> values, std::span<std::byte> bytes) {
  narrow_each<uint16_t>(values, bytes, f32_to_bf16);
}
void quantize_i8(std::span<const float> values, std::span<std::byte> bytes) {
  narrow_each<int8_t>(values, bytes, saturate<int8_t>);
}
void quantize_u8(std::span<const float> values, std::span<std::byte> bytes) {
  narrow_each<uint8_t>(values, bytes, saturate<uint8_t>);
}
void quantize_i32(std::span<const float> values, std::span<std::byte> bytes) {
  narrow_each<int32_t>(values, bytes, saturate<int32_t>);
}

}  // namespace hearth::encodings
