// When two results of a matmul count as the same.

#include "device/vulkan/measuring/matmul_trial.h"

#include <gtest/gtest.h>

#include <limits>
#include <random>

namespace hearth::vulkan {
namespace {

std::vector<float> values(size_t count) {
  std::mt19937 random(1);
  std::normal_distribution<float> distribution(0, 100);
  std::vector<float> all(count);
  for (float& value : all) value = distribution(random);
  return all;
}

TEST(MatmulTrial, OneWrongValueOfMany) {
  const auto right = values(1 << 20);
  auto other = right;
  for (float& value : other) value *= 1.00001F;  // another order of sums
  EXPECT_TRUE(agree(result_of_floats(right), result_of_floats(other)));
  other[12345] += 10;
  EXPECT_FALSE(agree(result_of_floats(right), result_of_floats(other)));
  other[12345] = std::numeric_limits<float>::quiet_NaN();
  EXPECT_FALSE(agree(result_of_floats(right), result_of_floats(other)));
  EXPECT_TRUE(agree(result_of_floats(other), result_of_floats(other))) << "NaN where there should be one";
  EXPECT_FALSE(agree(result_of_floats(right), result_of_floats(std::span(right).first(32))));
}

TEST(MatmulTrial, BytesMayDifferByOne) {
  std::vector<int8_t> bytes(64);
  for (size_t i = 0; i < bytes.size(); ++i) bytes[i] = static_cast<int8_t>(i * 37);
  const std::vector<float> pairs = {0.5F, 0, 2.0F, 0};
  auto other = bytes;
  ++other[3];
  --other[40];
  EXPECT_TRUE(agree(result_of_bytes(bytes, pairs), result_of_bytes(other, pairs)));
  other[40] = static_cast<int8_t>(bytes[40] + 3);
  EXPECT_FALSE(agree(result_of_bytes(bytes, pairs), result_of_bytes(other, pairs)));
  EXPECT_FALSE(agree(result_of_bytes(bytes, pairs), result_of_bytes(bytes, std::vector{0.5F, 0.0F, 9.0F, 0.0F})));
}

}  // namespace
}  // namespace hearth::vulkan
