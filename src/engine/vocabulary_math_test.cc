#include "engine/vocabulary_math.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>
#include <random>

namespace hearth {
namespace {

constexpr float kInfinity = std::numeric_limits<float>::infinity();

/// Logits with many ties, some -infinity and a NaN.
std::vector<float> awkward_logits(size_t size, uint32_t seed) {
  std::mt19937 random(seed);
  std::vector<float> logits(size);
  for (float& logit : logits) logit = static_cast<float>(random() % 64) / 4.0F - 8.0F;
  for (size_t i = 0; i < size; i += 7) logits[i] = -kInfinity;
  if (size > 3) logits[3] = std::numeric_limits<float>::quiet_NaN();
  return logits;
}

std::vector<TokenLogit> sorted(std::span<const float> logits) {
  std::vector<TokenLogit> all;
  for (size_t i = 0; i < logits.size(); ++i) {
    if (logits[i] > -kInfinity) all.push_back({static_cast<int32_t>(i), logits[i]});
  }
  std::ranges::stable_sort(all, std::greater{}, &TokenLogit::logit);
  return all;
}

TEST(VocabularyMath, ArgmaxIsTheLowestOfTheLargest) {
  for (const size_t size : {1U, 2U, 255U, 256U, 257U, 1000U, 4099U}) {
    for (uint32_t seed = 0; seed < 20; ++seed) {
      const auto logits = awkward_logits(size, seed);
      const auto all = sorted(logits);
      EXPECT_EQ(argmax(logits), all.empty() ? -1 : all.front().token) << size << " " << seed;
    }
  }
  EXPECT_EQ(argmax(std::vector<float>(300, -kInfinity)), -1);
}

TEST(VocabularyMath, TopIsTheHeadOfASort) {
  std::vector<TokenLogit> top;
  for (const size_t size : {1U, 300U, 5000U}) {
    const auto logits = awkward_logits(size, 5);
    const auto all = sorted(logits);
    for (const size_t count : {0U, 1U, 2U, 40U, 700U, 10000U}) {
      select_top(logits, count, top);
      ASSERT_EQ(top.size(), std::min(count, all.size()));
      for (size_t i = 0; i < top.size(); ++i) ASSERT_EQ(top[i].token, all[i].token) << size << " " << count << " " << i;
    }
  }
}

TEST(VocabularyMath, AboveIsAFilter) {
  const auto logits = awkward_logits(5000, 6);
  std::vector<TokenLogit> selected;
  select_above(logits, 2.25F, selected);
  size_t expected = 0;
  for (size_t i = 0; i < logits.size(); ++i) {
    if (logits[i] >= 2.25F) {
      ASSERT_EQ(selected.at(expected++).token, static_cast<int32_t>(i));
    }
  }
  EXPECT_EQ(selected.size(), expected);
}

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
