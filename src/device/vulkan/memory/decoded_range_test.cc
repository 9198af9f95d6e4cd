// Which blocks may be decoded to f16: those whose values, whatever their codes, stay within its range.

#include "device/vulkan/memory/decoded_range.h"

#include <gtest/gtest.h>

#include <cmath>
#include <random>
#include <vector>

#include "tensor/quantize.h"

namespace hearth::vulkan {
namespace {

const std::vector<NumberFormat> kBlocks = {NumberFormat::q8_0, NumberFormat::q4_0, NumberFormat::q4_1,
                                           NumberFormat::q5_0, NumberFormat::q5_1, NumberFormat::q4_k,
                                           NumberFormat::q5_k, NumberFormat::q6_k};

/// 512 random values of at most `largest`, in blocks; the last one is that large.
std::vector<std::byte> blocks_up_to(NumberFormat format, float largest) {
  std::mt19937 random(3);
  std::uniform_real_distribution<float> uniform(-0.9F * largest, 0.9F * largest);
  std::vector<float> values(512);
  for (float& value : values) value = uniform(random);
  values.back() = largest;
  std::vector<std::byte> bytes(bytes_of(format, values.size()));
  quantize_row(format, values, bytes);
  return bytes;
}

TEST(DecodedRangeTest, WeightsOfModelsFit) {
  for (const NumberFormat format : kBlocks) {
    for (const float largest : {1e-6F, 0.02F, 4.0F, 20.0F}) {
      EXPECT_TRUE(can_be_halves(format, block_range(format, bytes_of(format, 512), blocks_up_to(format, largest))))
          << traits(format).name << " " << largest;
    }
  }
}

/// By decoding: where any value is out of range, the headers say so.
TEST(DecodedRangeTest, NoValueOutOfRangeIsMissed) {
  size_t outside = 0;
  for (const NumberFormat format : kBlocks) {
    for (float largest = 100; largest < 60000; largest *= 1.3F) {
      const auto bytes = blocks_up_to(format, largest);
      std::vector<float> values(512);
      dequantize_row(format, bytes, values);
      float most = 0;
      for (const float value : values) most = std::max(most, std::abs(value));
      if (most <= kLargestDecoded) continue;
      ++outside;
      EXPECT_FALSE(can_be_halves(format, block_range(format, bytes.size(), bytes)))
          << traits(format).name << " " << most;
    }
  }
  EXPECT_GT(outside, 100U);
}

/// Scales are halves, and no power of two larger would leave them so; numbers in a half's last bits make values of its
/// range.
TEST(DecodedRangeTest, AUnitIsAsSmallAsHalvesAllow) {
  for (const NumberFormat format : kBlocks) {
    for (const float largest : {1e-6F, 0.02F, 4.0F, 20.0F, 100.0F}) {
      const BlockRange range = block_range(format, bytes_of(format, 512), blocks_up_to(format, largest));
      const float unit = decoded_unit(range), power = 0x1p24F / unit;
      EXPECT_EQ(std::exp2(std::round(std::log2(unit))), unit);
      EXPECT_LE(range.scale * power, 65504) << traits(format).name << " " << largest;
      EXPECT_LE(2 * largest / unit, 65504);
      if (power < 0x1p30F) EXPECT_GT(2 * std::max(range.scale * power, range.minimum / unit), 32752);
      EXPECT_TRUE(has_one_unit(range)) << traits(format).name << " " << largest;
    }
  }
  EXPECT_EQ(decoded_unit({}), 0x1p-6F);
}

TEST(DecodedRangeTest, RowsOfOneUnitAreOfLikeSize) {
  const auto of_two = [](float ratio) {
    std::vector<std::byte> rows = blocks_up_to(NumberFormat::q4_0, 8);
    const std::vector<std::byte> small = blocks_up_to(NumberFormat::q4_0, 8 / ratio);
    rows.insert(rows.end(), small.begin(), small.end());
    return block_range(NumberFormat::q4_0, small.size(), rows);
  };
  EXPECT_TRUE(has_one_unit(of_two(300)));
  EXPECT_FALSE(has_one_unit(of_two(3000)));
  // A row of zeros loses nothing.
  std::vector<std::byte> rows = blocks_up_to(NumberFormat::q4_0, 8);
  const size_t row_bytes = rows.size();
  rows.resize(2 * row_bytes);
  EXPECT_TRUE(has_one_unit(block_range(NumberFormat::q4_0, row_bytes, rows)));
}

TEST(DecodedRangeTest, PlainFormatsHaveNoBlocks) {
  EXPECT_TRUE(can_be_halves(NumberFormat::bf16, block_range(NumberFormat::bf16, 64, std::vector(64, std::byte{0x7f}))));
}

}  // namespace
}  // namespace hearth::vulkan
