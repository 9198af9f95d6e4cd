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
