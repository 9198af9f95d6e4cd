#include "device/logit_search.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <limits>
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

TEST(LogitSearch, ArgmaxIsTheLowestOfTheLargest) {
  for (const size_t size : {1U, 2U, 255U, 256U, 257U, 1000U, 4099U}) {
    for (uint32_t seed = 0; seed < 20; ++seed) {
      const auto logits = awkward_logits(size, seed);
      const auto all = sorted(logits);
      EXPECT_EQ(argmax(logits), all.empty() ? -1 : all.front().token) << size << " " << seed;
    }
  }
  EXPECT_EQ(argmax(std::vector<float>(300, -kInfinity)), -1);
}

TEST(LogitSearch, TopIsTheHeadOfASort) {
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

TEST(LogitSearch, AboveIsAFilter) {
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

TEST(LogitSearch, CandidatesAreTheTopFilledUp) {
  for (const size_t size : {1U, 4U, 1000U}) {
    const auto logits = awkward_logits(size, 7);
    const auto all = sorted(logits);
    for (const size_t count : {1U, 2U, 64U}) {
      std::vector<TokenLogit> best(count);
      best_candidates(logits, best);
      for (size_t i = 0; i < count; ++i) {
        ASSERT_EQ(best[i].token, i < all.size() ? all[i].token : -1) << size << " " << count << " " << i;
      }
    }
  }
}

}  // namespace
}  // namespace hearth
