// What users feel, on devices that are functions of a step's load.

#include <gtest/gtest.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <set>

#include "engine/testing/simulated_serving.h"

namespace hearth {
namespace {

/// Gemma 3 27B on an H200, from docs/performance.md: tiles of 256 tokens, and attention.
double large_gpu(const StepLoad& load) {
  const double tokens = load.tokens;
  const double matmuls = tokens <= 64    ? 6.3e-3 + tokens * 0.4e-3
                         : tokens <= 256 ? 75e-3
                         : tokens <= 512 ? 130e-3
                                         : 54e-3 * std::ceil(tokens / 256) + 20e-3;
  return matmuls + load.decoding * 30e-6 + load.decode_context * 40e-9 + load.prompt_context * 6e-9;
}

/// A model of the same size on an integrated GPU.
double slow_gpu(const StepLoad& load) { return 0.19 + load.tokens * 7e-3; }

/// A small model on two cores.
double processor(const StepLoad& load) { return 3.5e-3 + load.tokens * 0.55e-3 + load.decoding * 0.1e-3; }

constexpr SchedulerLimits kLarge = {.max_batched_tokens = 2048};
constexpr double kTarget = 0.15;

struct Felt {
  double tokens_per_second = 0, first_token_p50 = 0, between_p50 = 0, between_p99 = 0;
};

Felt felt(const std::vector<const SimulatedAnswer*>& answers) {
  std::vector<double> first, between;
  double end = 0;
  size_t tokens = 0;
  for (const SimulatedAnswer* answer : answers) {
    first.push_back(answer->first_token());
    tokens += answer->token_times.size();
    end = std::max(end, answer->token_times.back());
    for (size_t i = 1; i < answer->token_times.size(); ++i) {
      between.push_back(answer->token_times[i] - answer->token_times[i - 1]);
    }
  }
  std::ranges::sort(first);
  std::ranges::sort(between);
  return {static_cast<double>(tokens) / end, first[first.size() / 2], between[between.size() / 2],
          between[between.size() * 99 / 100]};
}

Felt many_clients(const SimulatedServing::StepSeconds& device, double target, uint32_t clients, uint32_t prompt,
                  uint32_t answer, const SchedulerLimits& limits = kLarge) {
  SimulatedServing serving(device, limits, target);
  serving.expect();
  std::vector<const SimulatedAnswer*> answers;
  for (uint32_t i = 0; i < clients; ++i) answers.push_back(&serving.submit(prompt, answer));
  serving.run();
  return felt(answers);
}

TEST(ServingLaw, ManyClientsOnALargeGpuFeelTheTargetAndMissLittleSpeed) {
  for (const uint32_t clients : {8U, 32U, 64U, 128U}) {
    const Felt paced = many_clients(large_gpu, kTarget, clients, 512, 128);
    const Felt unlimited = many_clients(large_gpu, 0, clients, 512, 128);
    EXPECT_LE(paced.between_p99, kTarget) << clients;
    EXPECT_GE(paced.tokens_per_second, 0.9 * unlimited.tokens_per_second) << clients;
    EXPECT_LE(paced.first_token_p50, 1.15 * unlimited.first_token_p50) << clients;
  }
  EXPECT_GE(many_clients(large_gpu, kTarget, 64, 512, 128).tokens_per_second, 600);
  EXPECT_GE(many_clients(large_gpu, 0, 64, 512, 128).tokens_per_second, 680);
}

/// What runs for the first time takes longer: pipelines are made, memory is touched, clocks are low.
TEST(ServingLaw, AColdStartIsForgottenSoon) {
  for (const double cold_seconds : {0.2, 1.0, 3.0}) {
    std::set<uint32_t> warm;
    const auto device = [&](const StepLoad& load) {
      const bool is_cold = warm.insert(std::bit_ceil(load.tokens) + (load.decoding == load.tokens ? 1 : 0)).second;
      return large_gpu(load) + (is_cold ? cold_seconds : 0);
    };
    SimulatedServing serving(device, kLarge, kTarget);
    serving.expect();
    warm.clear();
    for (int i = 0; i < 8; ++i) serving.submit(512, 8);
    serving.run();
    const double begin = serving.now();
    std::vector<const SimulatedAnswer*> answers;
    for (int i = 0; i < 64; ++i) answers.push_back(&serving.submit(512, 128));
    serving.run();
    const Felt warm_one = many_clients(large_gpu, kTarget, 64, 512, 128);
    const double cold = 8 * cold_seconds;  // buckets that it meets now
    EXPECT_LE(serving.now() - begin - cold, 1.15 * 64 * 128 / warm_one.tokens_per_second) << cold_seconds;
  }
}

TEST(ServingLaw, LongPromptsAreReadAtFullSpeedWhileNobodyDecodes) {
  SimulatedServing serving(large_gpu, kLarge, kTarget);
  serving.expect();
  for (int i = 0; i < 8; ++i) serving.submit(8000, 1);
  serving.run();
  const double alone = large_gpu({.tokens = 2048, .prompt_context = 2048.0 * 4000}) / 2048;
  EXPECT_LE(serving.now() / 64000, 1.05 * alone);
}

TEST(ServingLaw, AShortQuestionDoesNotWaitBehindLongPrompts) {
  for (const auto& device : {SimulatedServing::StepSeconds(large_gpu), SimulatedServing::StepSeconds(processor)}) {
    for (const char* user : {"same", "other"}) {
      SimulatedServing serving(device, kLarge, kTarget);
      for (int i = 0; i < 8; ++i) serving.submit(8000, 200, {.id = "same"});
      for (int i = 0; i < 20; ++i) serving.step();
      const uint64_t steps = serving.steps();
      const SimulatedAnswer& question = serving.submit(100, 20, {.id = user});
      serving.run_until_tokens(question, 1);
      EXPECT_LE(serving.steps() - steps, 3U);
      EXPECT_LE(question.first_token(), 1.5);
    }
  }
}

/// One request beside a hundred of another user takes at most twice as long as alone, as half of the device is its
/// user's, and two steps: the one that runs when it comes, and one that is made up for later.
TEST(ServingLaw, AUserWithManyRequestsDoesNotSlowAnotherByMoreThanTwice) {
  for (const auto& device : {SimulatedServing::StepSeconds(large_gpu), SimulatedServing::StepSeconds(slow_gpu),
                             SimulatedServing::StepSeconds(processor)}) {
    SimulatedServing alone(device, kLarge, kTarget), beside_many(device, kLarge, kTarget);
    alone.expect(), beside_many.expect();
    const SimulatedAnswer& undisturbed = alone.submit(512, 128, {.id = "one"});
    alone.run();
    for (int i = 0; i < 100; ++i) beside_many.submit(512, 128, {.id = "many"});
    for (int i = 0; i < 50; ++i) beside_many.step();
    const SimulatedAnswer& disturbed = beside_many.submit(512, 128, {.id = "one"});
    beside_many.run_until_tokens(disturbed, 128);
    EXPECT_LE(disturbed.whole(), 2 * undisturbed.whole() + 2 * std::max(kTarget, 1.5 * device({.tokens = 64})));
  }
}

/// Batching is nearly free, so users who all get their share and more are not kept apart.
TEST(ServingLaw, UsersWhoGetTheirShareRunSideBySide) {
  SimulatedServing one_user(large_gpu, kLarge, kTarget), many_users(large_gpu, kLarge, kTarget);
  for (int i = 0; i < 30; ++i) {
    one_user.submit(32, 200);
    many_users.submit(32, 200, {.id = std::to_string(std::max(i - 20, 0))});
  }
  one_user.run(), many_users.run();
  EXPECT_LE(many_users.now(), 1.1 * one_user.now());
}

TEST(ServingLaw, WherePromptsAreDearTheyGetAThirdOfTheTime) {
  SimulatedServing serving(slow_gpu, {.max_batched_tokens = 512}, kTarget);
  serving.expect();
  const SimulatedAnswer& first = serving.submit(32, 100);
  serving.run_until_tokens(first, 1);
  serving.submit(2000, 1);
  const double begin = serving.now();
  serving.run_until_tokens(first, 100);
  const double step = (serving.now() - begin) / 99;
  EXPECT_NEAR(step, slow_gpu({.tokens = 1 + StepSize::kLeast}), 0.01);
}

}  // namespace
}  // namespace hearth
