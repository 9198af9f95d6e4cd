#include "engine/step_size.h"

#include <gtest/gtest.h>

#include <cmath>
#include <functional>

namespace hearth {
namespace {

StepOutlook outlook(uint32_t decoding, uint32_t prompt_tokens) {
  StepOutlook ahead;
  for (uint32_t i = 0; i < decoding; ++i) ahead.decoding.add_decoding(500);
  ahead.prompt_tokens = prompt_tokens;
  return ahead;
}

using Device = std::function<double(uint32_t tokens)>;

/// Gemma 3 27B on an H200, measured: stairs of 256 tokens.
double large_gpu(uint32_t tokens) {
  if (tokens <= 64) return 6.3e-3 + tokens * 0.4e-3;
  return tokens <= 256 ? 75e-3 : tokens <= 512 ? 137e-3 : 57e-3 * std::ceil(tokens / 256.0) + 20e-3;
}
/// The same model on an integrated GPU.
double slow_gpu(uint32_t tokens) { return 0.19 + tokens * 7e-3; }
/// A small model on two cores.
double processor(uint32_t tokens) { return 3.5e-3 + tokens * 0.55e-3; }

/// Steps with that outlook, until their size has settled; returns the last one's tokens of prompts.
uint32_t settled(const Device& device, uint32_t most_tokens, double target_seconds, const StepOutlook& ahead,
                 bool expected = false) {
  StepCost cost(most_tokens);
  if (expected) {
    std::vector<double> seconds;
    for (const uint32_t size : cost.sizes()) seconds.push_back(device(size));
    cost.expect(seconds);
  }
  const StepSize size(most_tokens, target_seconds);
  uint32_t tokens = 0;
  cost.note(ahead.decoding, device(ahead.decoding.tokens));
  for (int i = 0; i < 60; ++i) {
    tokens = size.prompt_tokens(cost, ahead);
    StepLoad step = ahead.decoding;
    step.add_prompt(0, tokens);
    cost.note(step, device(step.tokens));
  }
  return tokens;
}

TEST(StepSize, TakesTheBestStairWithinTheTarget) {
  const StepOutlook ahead = outlook(64, 30000);
  EXPECT_EQ(settled(large_gpu, 2048, 0.15, ahead, true), 512U - 64);
  EXPECT_EQ(settled(large_gpu, 2048, 0.1, ahead, true), 256U - 64);
  // Without the device's word stairs are climbed only as far as that seems to pay.
  for (const double target : {0.15, 0.1}) {
    const uint32_t best = target == 0.15 ? 512 : 256, tokens = settled(large_gpu, 2048, target, ahead) + 64;
    EXPECT_LE(large_gpu(tokens), target);
    EXPECT_GE(tokens / large_gpu(tokens), 0.7 * best / large_gpu(best));
  }
}

TEST(StepSize, WithoutATargetStepsAreFilled) {
  const StepCost nothing_known(2048);
  EXPECT_EQ(StepSize(2048, 0).prompt_tokens(nothing_known, outlook(64, 30000)), 2048U - 64);
}

TEST(StepSize, PromptsGetAThirdOfTheTimeWhereAnswersTakeMostOfTheTarget) {
  const uint32_t tokens = settled(slow_gpu, 512, 0.15, outlook(1, 30000));
  const double step = slow_gpu(tokens + 1);
  EXPECT_LE(step, std::max(slow_gpu(1) * 1.5, slow_gpu(1 + StepSize::kLeast)));
  EXPECT_GE(tokens, StepSize::kLeast);
  // And never nothing, however dear they are.
  EXPECT_EQ(settled([](uint32_t n) { return n * 1.0; }, 512, 0.15, outlook(4, 30000)), StepSize::kLeast);
}

TEST(StepSize, IsNoLargerThanWhatMakesTokensCheaper) {
  const uint32_t tokens = settled(processor, 512, 0.15, outlook(4, 30000));
  EXPECT_LE(tokens, 260U);
  EXPECT_GE((tokens + 4) / processor(tokens + 4), 0.92 * 260 / processor(260));
}

TEST(StepSize, WhileNobodyDecodesANewcomerWaitsForFourTargetsAtMost) {
  for (const Device& device : {Device(large_gpu), Device(processor)}) {
    const uint32_t tokens = settled(device, 2048, 0.15, outlook(0, 30000));
    EXPECT_LE(device(tokens), 4 * 0.15);
    EXPECT_GE(tokens / device(tokens), 0.85 * 2048 / device(2048));
  }
  // Or longer, rather than giving more than a tenth of the speed away.
  const auto dear_small_steps = [](uint32_t tokens) { return 1 + tokens * 1e-3; };
  const uint32_t tokens = settled(dear_small_steps, 2048, 0.15, outlook(0, 30000));
  EXPECT_GE(tokens / dear_small_steps(tokens), 0.87 * 2048 / dear_small_steps(2048));
  // Which is found out without a step that takes much longer.
  EXPECT_LE(settled([](uint32_t n) { return n * 0.3; }, 2048, 0.15, outlook(0, 30000)), 2 * StepSize::kFirst);
}

TEST(StepSize, OneRequestAloneIsCutAlikeWhateverWasLearned) {
  StepOutlook ahead = outlook(0, 700);
  ahead.is_alone = true;
  EXPECT_EQ(StepSize(512, 0.15).prompt_tokens(StepCost(512), ahead), 512U);
  EXPECT_EQ(settled(processor, 512, 0.15, ahead), 512U);
  EXPECT_EQ(settled(slow_gpu, 512, 0.15, ahead), 512U);
}

TEST(StepSize, ABeginningIsSmall) {
  const StepCost cost(512);
  EXPECT_EQ(StepSize(512, 0.15).prompt_tokens(cost, outlook(3, 1000)), StepSize::kFirst);
  EXPECT_EQ(StepSize(512, 0.15).prompt_tokens(cost, outlook(0, 1000)), StepSize::kFirst);
}

TEST(StepSize, TakesWhatIsThereAndWhatFits) {
  StepCost cost(64);
  cost.note(outlook(4, 0).decoding, 1e-3);
  const StepSize size(64, 0.15);
  EXPECT_EQ(size.prompt_tokens(cost, outlook(4, 0)), 0U);
  EXPECT_EQ(size.prompt_tokens(cost, outlook(4, 5)), 5U);
  EXPECT_EQ(size.prompt_tokens(cost, outlook(60, 1000)), 4U);
  EXPECT_EQ(size.prompt_tokens(cost, outlook(64, 1000)), 0U);
  EXPECT_LE(size.prompt_tokens(cost, outlook(4, 1000)), 60U);
}

}  // namespace
}  // namespace hearth
