#include "tensor/finite.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <initializer_list>

#include "base/printable.h"
#include "tensor/blocks.h"
#include "tensor/low_bit_blocks.h"
#include "tensor/quantize.h"

namespace hearth {
namespace {

/// The first plain value whose exponent bits are all set. Whole chunks are tested first, in a loop without an exit
/// that becomes vector code.
template <class Bits, Bits kExponent>
std::optional<size_t> find_plain(std::span<const std::byte> bytes) {
  const size_t count = bytes.size() / sizeof(Bits);
  const auto is_bad = [&](size_t i) {
    Bits bits;
    std::memcpy(&bits, bytes.data() + i * sizeof(Bits), sizeof(Bits));
    return (bits & kExponent) == kExponent;
  };
  constexpr size_t kChunk = 1024;
  for (size_t begin = 0; begin < count; begin += kChunk) {
    const size_t end = std::min(count, begin + kChunk);
    Bits any = 0;
    for (size_t i = begin; i < end; ++i) any |= static_cast<Bits>(is_bad(i));
    if (any == 0) continue;
    for (size_t i = begin; i < end; ++i) {
      if (is_bad(i)) return i;
    }
  }
  return std::nullopt;
}

/// The first block of `block_bytes` with an f16 at one of `places` that is not finite.
std::optional<size_t> find_in_blocks(std::span<const std::byte> bytes, size_t block_bytes,
                                     std::initializer_list<size_t> places) {
  for (size_t block = 0; block < bytes.size() / block_bytes; ++block) {
    for (const size_t place : places) {
      uint16_t half;
      std::memcpy(&half, bytes.data() + block * block_bytes + place, sizeof(half));
      if ((half & 0x7c00u) == 0x7c00u) return block;
    }
  }
  return std::nullopt;
}

/// The first block of mxfp4 with a value that is not finite: an exponent above 252 makes some so.
std::optional<size_t> find_mxfp4(std::span<const std::byte> bytes) {
  constexpr size_t kBytes = sizeof(BlockMxfp4);
  float values[32];
  for (size_t block = 0; block < bytes.size() / kBytes; ++block) {
    if (std::to_integer<unsigned>(bytes[block * kBytes]) <= 252) continue;
    dequantize_row(NumberFormat::mxfp4, bytes.subspan(block * kBytes, kBytes), values);
    if (!std::ranges::all_of(values, [](float value) { return std::isfinite(value); })) return block;
  }
  return std::nullopt;
}

template <class IsOne>
std::optional<size_t> find_byte(std::span<const std::byte> bytes, IsOne is_one) {
  const auto found = std::ranges::find_if(bytes, [&](std::byte b) { return is_one(std::to_integer<unsigned>(b)); });
  return found == bytes.end() ? std::nullopt : std::optional(static_cast<size_t>(found - bytes.begin()));
}

/// The first block of iq1_m whose scale, which lies in four pieces, is not finite.
std::optional<size_t> find_iq1_m(std::span<const std::byte> bytes) {
  constexpr size_t kBytes = sizeof(BlockIq1M);
  for (size_t block = 0; block < bytes.size() / kBytes; ++block) {
    float value[256];
    dequantize_row(NumberFormat::iq1_m, bytes.subspan(block * kBytes, kBytes), value);
    if (!std::isfinite(value[0])) return block;
  }
  return std::nullopt;
}

}  // namespace

std::optional<size_t> find_non_finite(NumberFormat format, std::span<const std::byte> bytes) {
  const size_t block_bytes = traits(format).block_bytes;
  switch (format) {
    case NumberFormat::f32:
      return find_plain<uint32_t, 0x7f800000u>(bytes);
    case NumberFormat::f16:
      return find_plain<uint16_t, 0x7c00u>(bytes);
    case NumberFormat::bf16:
      return find_plain<uint16_t, 0x7f80u>(bytes);
    case NumberFormat::i8:
    case NumberFormat::u8:
    case NumberFormat::i32:
      return std::nullopt;
    case NumberFormat::q4_0:
    case NumberFormat::q5_0:
    case NumberFormat::q8_0:
      return find_in_blocks(bytes, block_bytes, {0});
    case NumberFormat::q4_1:
    case NumberFormat::q5_1:
    case NumberFormat::q4_k:
    case NumberFormat::q5_k:
      return find_in_blocks(bytes, block_bytes, {0, 2});
    case NumberFormat::q6_k:
      return find_in_blocks(bytes, block_bytes, {offsetof(BlockQ6_K, scale)});
    case NumberFormat::mxfp4:
      return find_mxfp4(bytes);
    case NumberFormat::q2_k:
      return find_in_blocks(bytes, block_bytes, {offsetof(BlockQ2_K, scale), offsetof(BlockQ2_K, minimum)});
    case NumberFormat::q3_k:
      return find_in_blocks(bytes, block_bytes, {offsetof(BlockQ3_K, scale)});
    case NumberFormat::tq1_0:
      return find_in_blocks(bytes, block_bytes, {offsetof(BlockTq1_0, scale)});
    case NumberFormat::tq2_0:
      return find_in_blocks(bytes, block_bytes, {offsetof(BlockTq2_0, scale)});
    case NumberFormat::iq1_s:
    case NumberFormat::iq2_xxs:
    case NumberFormat::iq2_xs:
    case NumberFormat::iq2_s:
    case NumberFormat::iq3_xxs:
    case NumberFormat::iq3_s:
    case NumberFormat::iq4_nl:
    case NumberFormat::iq4_xs:
      return find_in_blocks(bytes, block_bytes, {0});
    case NumberFormat::iq1_m:
      return find_iq1_m(bytes);
    case NumberFormat::f8_e4m3:
      return find_byte(bytes, [](unsigned bits) { return (bits & 127) == 127; });
    case NumberFormat::f8_e5m2:
      return find_byte(bytes, [](unsigned bits) { return (bits & 124) == 124; });
    case NumberFormat::f8_e8m0:
      return find_byte(bytes, [](unsigned bits) { return bits == 255; });
  }
  return std::nullopt;
}

Result<void> check_finite(const TensorView& view, std::string_view tensor_name) {
  const std::optional<size_t> block = find_non_finite(view.format, view.bytes);
  if (!block) return {};
  const FormatTraits& t = traits(view.format);
  const size_t value = *block * t.block_values, cols = static_cast<size_t>(view.cols());
  const std::string where = t.block_values == 1
                                ? fmt::format("value {} (row {}, column {}) is", value, value / cols, value % cols)
                                : fmt::format("block {} (row {}, columns {} to {}) has a scale that is", *block,
                                              value / cols, value % cols, value % cols + t.block_values - 1);
  return fail(ErrorCode::corrupt,
              fmt::format("tensor {} ({}): {} infinite or not a number", printable(tensor_name), t.name, where),
              "download the file again, or convert the model again");
}

}  // namespace hearth
