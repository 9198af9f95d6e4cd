#include "tensor/float16.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>

namespace hearth {
namespace {

constexpr float kInfinity = std::numeric_limits<float>::infinity();

/// binary16 by its definition (IEEE 754-2008, 3.4).
double f16_by_definition(uint16_t half) {
  const double sign = half >> 15 ? -1 : 1;
  const int exponent = half >> 10 & 31, fraction = half & 1023;
  if (exponent == 31) return fraction == 0 ? sign * kInfinity : std::nan("");
  if (exponent == 0) return sign * std::ldexp(fraction, -24);
  return sign * std::ldexp(1024 + fraction, exponent - 25);
}

TEST(Float16, WideningFollowsTheDefinitionForAllBits) {
  for (uint32_t bits = 0; bits < 65536; ++bits) {
    const auto half = static_cast<uint16_t>(bits);
    const double expected = f16_by_definition(half);
    const float widened = f16_to_f32(half);
    if (std::isnan(expected)) {
      ASSERT_TRUE(std::isnan(widened)) << std::hex << bits;
    } else {
      ASSERT_EQ(widened, expected) << std::hex << bits;
    }
    ASSERT_EQ(std::signbit(widened), bits >> 15 == 1) << std::hex << bits;
  }
}

TEST(Float16, AllBitsSurviveTheRoundTrip) {
  for (uint32_t bits = 0; bits < 65536; ++bits) {
    const auto half = static_cast<uint16_t>(bits);
    const uint16_t quiet_f16 = (bits & 0x7fff) > 0x7c00 ? half | 0x0200 : half;
    ASSERT_EQ(f32_to_f16(f16_to_f32(half)), quiet_f16) << std::hex << bits;
    const uint16_t quiet_bf16 = (bits & 0x7fff) > 0x7f80 ? half | 0x0040 : half;
    ASSERT_EQ(f32_to_bf16(bf16_to_f32(half)), quiet_bf16) << std::hex << bits;
  }
}

/// Between any two neighbours: the midpoint goes to the even one, what lies to either side goes to the nearer one.
template <class Widen, class Narrow>
void expect_nearest_even(uint16_t infinity, Widen widen, Narrow narrow, float beyond_largest) {
  for (uint16_t low = 0; low < infinity; ++low) {
    const uint16_t high = static_cast<uint16_t>(low + 1);
    const double high_value = high == infinity ? double{beyond_largest} : double{widen(high)};
    const float middle = static_cast<float>((double{widen(low)} + high_value) / 2);
    if (middle != (double{widen(low)} + high_value) / 2) continue;  // bf16's last steps have no float between
    const uint16_t even = low % 2 == 0 ? low : high;
    for (const bool negative : {false, true}) {
      const float sign = negative ? -1.0f : 1.0f;
      const uint16_t sign_bit = negative ? 0x8000 : 0;
      ASSERT_EQ(narrow(sign * middle), even | sign_bit) << std::hex << low;
      ASSERT_EQ(narrow(sign * std::nextafter(middle, 0.0f)), low | sign_bit) << std::hex << low;
      ASSERT_EQ(narrow(sign * std::nextafter(middle, kInfinity)), high | sign_bit) << std::hex << low;
    }
  }
}

TEST(Float16, NarrowingRoundsToNearestEven) {
  expect_nearest_even(0x7c00, f16_to_f32, f32_to_f16, 65536.0f);
  EXPECT_EQ(f32_to_f16(65519.996f), 0x7bff);
  EXPECT_EQ(f32_to_f16(65520.0f), 0x7c00);
}

TEST(Float16, BrainFloatNarrowingRoundsToNearestEven) {
  for (uint32_t upper = 0; upper < 0x7f80; ++upper) {
    for (const uint32_t sign : {0u, 0x80000000u}) {
      const auto narrowed = [&](uint32_t lower) {
        return f32_to_bf16(std::bit_cast<float>(sign | upper << 16 | lower)) ^ sign >> 16;
      };
      ASSERT_EQ(narrowed(0), upper);
      ASSERT_EQ(narrowed(0x7fff), upper);
      ASSERT_EQ(narrowed(0x8000), upper + upper % 2);
      ASSERT_EQ(narrowed(0x8001), upper + 1);
      ASSERT_EQ(narrowed(0xffff), upper + 1);
    }
  }
}

TEST(Float16, NarrowingKeepsNanAndInfinity) {
  for (const float value : {kInfinity, -kInfinity, std::nanf(""), -std::nanf("")}) {
    for (const float back : {f16_to_f32(f32_to_f16(value)), bf16_to_f32(f32_to_bf16(value))}) {
      EXPECT_EQ(std::isnan(back), std::isnan(value));
      EXPECT_EQ(std::isinf(back), std::isinf(value));
      EXPECT_EQ(std::signbit(back), std::signbit(value));
    }
  }
  // A signalling NaN whose payload lies in the bits that are cut off must not become infinity.
  const float hidden = std::bit_cast<float>(0x7f800001u);
  EXPECT_TRUE(std::isnan(f16_to_f32(f32_to_f16(hidden))));
  EXPECT_TRUE(std::isnan(bf16_to_f32(f32_to_bf16(hidden))));
}

}  // namespace
}  // namespace hearth
