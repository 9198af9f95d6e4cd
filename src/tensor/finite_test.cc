#include "tensor/finite.h"

#include <gmock/gmock.h>

#include <cmath>
#include <cstring>
#include <limits>
#include <vector>

#include "tensor/quantize.h"

namespace hearth {
namespace {

using testing::HasSubstr;

constexpr size_t kValues = 8192;

std::vector<std::byte> encoded(NumberFormat format) {
  std::vector<float> values(kValues);
  for (size_t i = 0; i < kValues; ++i) values[i] = static_cast<float>(i % 100) - 50;
  std::vector<std::byte> bytes(bytes_of(format, kValues));
  quantize_row(format, values, bytes);
  return bytes;
}

class Finite : public testing::TestWithParam<NumberFormat> {};

INSTANTIATE_TEST_SUITE_P(All, Finite,
                         testing::Values(NumberFormat::f32, NumberFormat::f16, NumberFormat::bf16, NumberFormat::q4_0,
                                         NumberFormat::q4_1, NumberFormat::q5_0, NumberFormat::q5_1, NumberFormat::q8_0,
                                         NumberFormat::q4_k, NumberFormat::q5_k, NumberFormat::q6_k,
                                         NumberFormat::mxfp4),
                         [](const auto& tested) { return std::string(traits(tested.param).name); });

/// The oracle is dequantize_row: overwrite each two bytes of a block with the bits of an infinity, and the block is bad
/// exactly when a value of it is not finite.
TEST_P(Finite, FindsExactlyTheBlocksThatDecodeToSomethingNotFinite) {
  const FormatTraits& t = traits(GetParam());
  const auto clean = encoded(GetParam());
  ASSERT_EQ(find_non_finite(GetParam(), clean), std::nullopt);
  const uint16_t infinity = GetParam() == NumberFormat::bf16 || GetParam() == NumberFormat::f32 ? 0xff80 : 0xfc00;
  for (const size_t block : {size_t{0}, kValues / t.block_values / 2, kValues / t.block_values - 1}) {
    for (size_t place = 0; place + 2 <= t.block_bytes; place += 2) {
      auto bytes = clean;
      std::memcpy(bytes.data() + block * t.block_bytes + place, &infinity, 2);
      std::vector<float> values(kValues);
      dequantize_row(GetParam(), bytes, values);
      bool bad = false;
      for (const float value : values) bad |= !std::isfinite(value);
      const auto found = find_non_finite(GetParam(), bytes);
      ASSERT_EQ(found.has_value(), bad) << "block " << block << ", byte " << place;
      if (bad) {
        ASSERT_EQ(*found, block);
      }
    }
  }
}

TEST(CheckFinite, NamesTensorBlockRowAndColumns) {
  std::vector<std::byte> bytes(bytes_of(NumberFormat::q8_0, 4 * 64));
  EXPECT_TRUE(check_finite({NumberFormat::q8_0, {4, 64}, bytes}, "blk.0.attn_q.weight"));
  const uint16_t not_a_number = 0x7e00;
  std::memcpy(bytes.data() + 5 * 34, &not_a_number, 2);
  const auto checked = check_finite({NumberFormat::q8_0, {4, 64}, bytes}, "blk.0.attn_q.weight");
  ASSERT_FALSE(checked);
  EXPECT_EQ(checked.error().code, ErrorCode::corrupt);
  EXPECT_THAT(checked.error().message, HasSubstr("blk.0.attn_q.weight (q8_0): block 5 (row 2, columns 32 to 63)"));

  std::vector<float> plain(12, 1.0f);
  plain[7] = std::numeric_limits<float>::quiet_NaN();
  const auto checked_plain = check_finite({NumberFormat::f32, {3, 4}, std::as_bytes(std::span(plain))}, "norm");
  ASSERT_FALSE(checked_plain);
  EXPECT_THAT(checked_plain.error().message, HasSubstr("norm (f32): value 7 (row 1, column 3)"));
}

}  // namespace
}  // namespace hearth
