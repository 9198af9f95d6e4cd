#include "engine/sampling/sampler.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <map>
#include <random>

#include "device/logit_search.h"

namespace hearth {
namespace {

std::vector<float> random_logits(size_t size, uint32_t seed, float spread = 3.0F) {
  std::mt19937 random(seed);
  std::normal_distribution<float> normal(0, spread);
  std::vector<float> logits(size);
  for (float& logit : logits) logit = normal(random);
  return logits;
}

/// The distribution that the parameters describe, computed the plain way: sort everything, filter one after the other.
std::map<int32_t, double> expected_distribution(const SamplingParams& params, const std::vector<float>& logits) {
  struct Entry {
    int32_t token;
    double p;
  };
  std::vector<Entry> entries(logits.size());
  for (size_t i = 0; i < logits.size(); ++i) {
    entries[i] = {static_cast<int32_t>(i), std::exp(double{logits[i]} / params.temperature)};
  }
  std::ranges::stable_sort(entries, std::greater{}, &Entry::p);
  auto normalise = [&] {
    double total = 0;
    for (const Entry& entry : entries) total += entry.p;
    for (Entry& entry : entries) entry.p /= total;
  };
  const double least = params.min_p * entries.front().p;
  std::erase_if(entries, [&](const Entry& entry) { return entry.p < least; });
  if (params.top_k > 0 && entries.size() > params.top_k) entries.resize(params.top_k);
  normalise();
  double sum = 0;
  size_t kept = 0;
  while (kept < entries.size() && sum < params.top_p) sum += entries[kept++].p;
  entries.resize(kept);
  normalise();
  std::map<int32_t, double> result;
  for (const Entry& entry : entries) result[entry.token] = entry.p;
  return result;
}

TEST(Sampler, DrawsFromTheDistributionThatTheParametersDescribe) {
  const SamplingParams cases[] = {
      {.temperature = 1.0F},
      {.temperature = 0.6F},
      {.temperature = 1.0F, .top_k = 5},
      {.temperature = 1.3F, .top_p = 0.8F},
      {.temperature = 1.0F, .min_p = 0.1F},
      {.temperature = 1.2F, .top_k = 20, .top_p = 0.7F, .min_p = 0.05F},
      {.temperature = 1.5F, .top_p = 0.9F, .min_p = 0.02F},
      {.temperature = 1.0F, .top_k = 1},
  };
  const auto logits = random_logits(600, 1, 2.0F);
  constexpr int kDraws = 8000;
  for (const SamplingParams& params : cases) {
    const auto expected = expected_distribution(params, logits);
    Sampler sampler;
    SamplingState state(params, 42, {});
    std::map<int32_t, int> drawn;
    for (int i = 0; i < kDraws; ++i) {
      const auto token = sampler.sample(state, logits, {});
      ASSERT_TRUE(token);
      ASSERT_TRUE(expected.contains(*token)) << *token;
      ++drawn[*token];
      state.record(*token);
    }
    for (const auto& [token, p] : expected) {
      const double deviation = std::sqrt(kDraws * p * (1 - p));
      EXPECT_NEAR(drawn[token], kDraws * p, 5 * deviation + 1) << "token " << token << " top_k " << params.top_k;
    }
  }
}

TEST(Sampler, ANucleusOfManyTokensIsFound) {
  const std::vector<float> flat(5000, 0.5F);
  SamplingState state({.temperature = 1.0F, .top_p = 0.6F}, 3, {});
  Sampler sampler;
  int32_t largest = 0;
  for (int i = 0; i < 400; ++i) {
    const int32_t token = *sampler.sample(state, flat, {});
    largest = std::max(largest, token);
    state.record(token);
  }
  EXPECT_LT(largest, 3000) << "of equals the lower tokens are the nucleus";
  EXPECT_GT(largest, 2900);
}

TEST(Sampler, GreedyTakesTheLowestOfTheBest) {
  Sampler sampler;
  const SamplingState state({.temperature = 0.0F}, 0, {});
  EXPECT_EQ(*sampler.sample(state, std::vector<float>{1, 3, 2, 3}, {}), 1);
  EXPECT_EQ(*sampler.sample(state, std::vector<float>{1, 3, 2, 3}, std::array{1}), 3);
}

TEST(Sampler, ASeedGivesTheSameDrawsAndAnotherSeedOthers) {
  const auto logits = random_logits(1000, 2);
  auto draws = [&](std::optional<uint64_t> seed, uint64_t otherwise) {
    Sampler sampler;
    SamplingState state({.temperature = 1.0F, .seed = seed}, otherwise, {});
    std::vector<int32_t> tokens;
    for (int i = 0; i < 40; ++i) {
      tokens.push_back(*sampler.sample(state, logits, {}));
      state.record(tokens.back());
    }
    return tokens;
  };
  EXPECT_EQ(draws(7, 1), draws(7, 2));
  EXPECT_NE(draws(7, 1), draws(8, 1));
  EXPECT_NE(draws({}, 1), draws({}, 2));
}

TEST(Sampler, PenaltiesAndBiasFollowTheirFormulas) {
  const std::vector<float> logits = {2.0F, -1.0F, 0.5F, 4.0F, 3.0F};
  SamplingState state({.temperature = 0.0F,
                       .presence_penalty = 0.25F,
                       .frequency_penalty = 0.5F,
                       .repetition_penalty = 2.0F,
                       .logit_bias = {{2, 1.5F}}},
                      0, std::array{0, 1, 1});
  state.record(3);
  state.record(3);
  state.record(1);
  std::vector<float> changed = logits;
  state.change_logits(changed);
  EXPECT_FLOAT_EQ(changed[0], 2.0F / 2.0F) << "in the prompt: repetition only";
  EXPECT_FLOAT_EQ(changed[1], -1.0F * 2.0F - 0.5F - 0.25F) << "in both, generated once";
  EXPECT_FLOAT_EQ(changed[2], 0.5F + 1.5F) << "bias only";
  EXPECT_FLOAT_EQ(changed[3], 4.0F / 2.0F - 2 * 0.5F - 0.25F) << "generated twice";
  EXPECT_FLOAT_EQ(changed[4], 3.0F);
  EXPECT_EQ(*Sampler().sample(state, logits, {}), 4);
}

TEST(Sampler, BannedTokensAreNeverDrawn) {
  const std::vector<float> logits = {5.0F, 0.0F, 4.0F, 0.0F};
  Sampler sampler;
  SamplingState state({.temperature = 1.0F}, 9, {});
  for (int i = 0; i < 500; ++i) {
    const int32_t token = *sampler.sample(state, logits, std::array{0, 2});
    ASSERT_TRUE(token == 1 || token == 3);
    state.record(token);
  }
}

TEST(Sampler, CandidatesGiveTheChoiceOfTheWholeRow) {
  // Logits with ties, rows with few finite ones, and with an infinite or no finite one.
  constexpr float kInfinity = std::numeric_limits<float>::infinity();
  std::mt19937 random(11);
  std::array<int, 2> decided = {};  // by whole rows, by candidates
  for (int i = 0; i < 4000; ++i) {
    std::vector<float> logits(1 + random() % 300);
    for (float& logit : logits) logit = static_cast<float>(random() % 200) / 16.0F - 6.0F;
    if (random() % 4 == 0) {
      for (float& logit : logits) logit = random() % 8 == 0 ? logit : -kInfinity;
    }
    if (random() % 4 == 0) logits[random() % logits.size()] = std::numeric_limits<float>::quiet_NaN();
    if (random() % 50 == 0) logits[random() % logits.size()] = kInfinity;

    SamplingParams params{.temperature = random() % 2 == 0 ? 0.0F : 0.7F, .seed = random()};
    if (random() % 8 != 0) params.top_k = 1 + random() % 70;
    if (random() % 2 == 0) params.top_p = 0.8F;
    if (random() % 2 == 0) params.min_p = 0.05F;
    if (random() % 8 == 0) params.frequency_penalty = 0.3F;
    if (random() % 8 == 0) params.logit_bias[static_cast<int32_t>(random() % logits.size())] = 2.0F;
    std::vector<int32_t> banned(random() % 2 == 0 ? 0 : random() % 4);
    for (int32_t& token : banned) token = static_cast<int32_t>(random() % logits.size());

    const SamplingState state(params, 0, {});
    const uint32_t needed = Sampler::candidates_needed(state, banned.size());
    ++decided[needed > 0];
    if (needed == 0) continue;
    ASSERT_LE(needed, kMaxCandidates);
    std::vector<TokenLogit> candidates(needed);
    best_candidates(logits, candidates);
    const auto from_row = Sampler().sample(state, logits, banned);
    const auto from_candidates = Sampler().sample(state, candidates, banned);
    ASSERT_EQ(from_row.has_value(), from_candidates.has_value()) << i;
    if (from_row) {
      ASSERT_EQ(*from_row, *from_candidates) << i;
    }
  }
  EXPECT_GT(decided[0], 500);
  EXPECT_GT(decided[1], 2000);
}

TEST(Sampler, WhatWeighsAllTokensNeedsTheWholeRow) {
  const auto needed = [](SamplingParams params, size_t banned = 0) {
    return Sampler::candidates_needed(SamplingState(std::move(params), 0, {}), banned);
  };
  EXPECT_EQ(needed({.temperature = 0.0F}), 1U);
  EXPECT_EQ(needed({.temperature = 0.0F, .top_p = 0.5F}, 3), 4U);
  EXPECT_EQ(needed({.top_k = 40, .top_p = 0.9F}), 40U);
  EXPECT_EQ(needed({.top_k = kMaxCandidates}), kMaxCandidates);
  EXPECT_EQ(needed({.top_k = kMaxCandidates}, 1), 0U);
  EXPECT_EQ(needed({}), 0U);
  EXPECT_EQ(needed({.top_p = 0.9F}), 0U);
  EXPECT_EQ(needed({.min_p = 0.1F}), 0U);
  EXPECT_EQ(needed({.temperature = 0.0F, .repetition_penalty = 1.1F}), 0U);
  EXPECT_EQ(needed({.temperature = 0.0F, .logit_bias = {{1, 1.0F}}}), 0U);
}

TEST(Sampler, LogprobsAreThoseOfTheModelItself) {
  const auto logits = random_logits(700, 4);
  double total = 0;
  for (const float logit : logits) total += std::exp(double{logit});
  const TokenLogprobs result = Sampler().logprobs(logits, 17, 5);
  EXPECT_EQ(result.chosen.token, 17);
  EXPECT_NEAR(result.chosen.logprob, logits[17] - std::log(total), 1e-5);
  ASSERT_EQ(result.top.size(), 5U);
  for (size_t i = 0; i < 5; ++i) {
    EXPECT_NEAR(result.top[i].logprob, logits[result.top[i].token] - std::log(total), 1e-5);
  }
  EXPECT_EQ(result.top[0].token, argmax(logits));
  EXPECT_TRUE(std::ranges::is_sorted(result.top, std::greater{}, &TokenLogprob::logprob));
}

TEST(Sampler, DamagedLogitsAreAnError) {
  Sampler sampler;
  const std::vector<float> damaged(10, std::numeric_limits<float>::quiet_NaN());
  EXPECT_FALSE(sampler.sample(SamplingState({.temperature = 0.0F}, 0, {}), damaged, {}));
  EXPECT_FALSE(sampler.sample(SamplingState({.temperature = 1.0F}, 0, {}), damaged, {}));
}

}  // namespace
}  // namespace hearth
