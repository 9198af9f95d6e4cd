#include "engine/sampling/vocabulary_math.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <random>
#include <vector>

namespace hearth {
namespace {

constexpr float kInfinity = std::numeric_limits<float>::infinity();

TEST(VocabularyMath, ExponentialsAgreeWithDoubles) {
  std::mt19937 random(7);
  std::normal_distribution<float> normal(0, 12);
  for (const size_t size : {1U, 17U, 256U, 1000U, 50001U}) {
    std::vector<float> logits(size), weights(size);
    for (float& logit : logits) logit = normal(random);
    const float maximum = *std::ranges::max_element(logits);
    const double total = exp_weights(logits, maximum, 0.7F, weights);
    double expected = 0;
    for (size_t i = 0; i < size; ++i) {
      const double exact = std::exp((double{logits[i]} - maximum) * double{0.7F});
      expected += exact;
      // The argument's own rounding in float counts too: |x| * 2^-24.
      ASSERT_NEAR(weights[i], exact, exact * (3e-7 + 1.2e-7 * std::abs(logits[i] - maximum)) + 1e-37);
    }
    EXPECT_NEAR(total, expected, expected * 1e-6);
    EXPECT_EQ(total, exp_sum(logits, maximum, 0.7F));
  }
  const float masked[] = {0.0F, -kInfinity};
  float weights[2];
  EXPECT_EQ(exp_weights(masked, 0.0F, 1.0F, weights), 1.0);
  EXPECT_EQ(weights[1], 0.0F);
}

TEST(VocabularyMath, PositionOfSumWalksTheRunningSum) {
  std::vector<float> weights(1000, 0.0F);
  for (size_t i = 100; i < 900; i += 2) weights[i] = 1.0F;  // 400 in all, exact in float
  for (int target = 0; target < 400; ++target) ASSERT_EQ(position_of_sum(weights, target), 100 + 2 * target);
  EXPECT_EQ(position_of_sum(weights, 400.0), 898) << "rounding never leads behind the last possible token";
}

}  // namespace
}  // namespace hearth
