#include "engine/step_cost.h"

#include <gtest/gtest.h>

#include <cmath>
#include <functional>
#include <random>

namespace hearth {
namespace {

StepLoad load(uint32_t decoding, uint32_t context_each, uint32_t prompt, uint32_t prompt_context) {
  StepLoad load;
  for (uint32_t i = 0; i < decoding; ++i) load.add_decoding(context_each);
  if (prompt > 0) load.add_prompt(prompt_context, prompt);
  return load;
}

/// A device whose steps' times are a function of their load.
struct Device {
  std::function<double(uint32_t)> by_tokens;
  double each_decoding = 0, each_decode_context = 0, each_prompt_context = 0;

  double seconds(const StepLoad& load) const {
    return by_tokens(load.tokens) + each_decoding * load.decoding + each_decode_context * load.decode_context +
           each_prompt_context * load.prompt_context;
  }
};

/// A large GPU: stairs of 256 tokens.
double in_stairs(uint32_t tokens) { return tokens <= 64 ? 7e-3 + tokens * 0.4e-3 : 68e-3 * std::ceil(tokens / 256.0); }

/// Steps as a server makes them: answers of many lengths, prompts from their start to their end.
void learn(StepCost& cost, const Device& device, uint32_t largest, int steps, double noise = 0) {
  std::mt19937 random(7);
  std::uniform_real_distribution<double> about(1 - noise, 1 + noise), evenly(0, 1);
  for (int i = 0; i < steps; ++i) {
    const auto decoding = static_cast<uint32_t>(evenly(random) * 64);
    const auto prompt = static_cast<uint32_t>(evenly(random) * (largest - 64));
    const auto context = static_cast<uint32_t>(evenly(random) * 8000);
    const StepLoad step = load(decoding, context / 2 + 1, i % 3 == 0 ? 0 : prompt, context);
    cost.note(step, device.seconds(step) * about(random));
  }
}

TEST(StepCost, KnowsNothingAtFirst) {
  const StepCost cost(512);
  EXPECT_FALSE(cost.estimate(load(1, 10, 0, 0)));
  EXPECT_EQ(cost.seconds_per_prompt_token(), 0);
}

TEST(StepCost, SizesEndWithTheLargestStepAndGrowByAFifthAtMostFromSixteenOn) {
  for (const uint32_t most : {1U, 5U, 64U, 100U, 512U, 2048U, 2100U}) {
    const StepCost cost(most);
    ASSERT_EQ(cost.sizes().back(), most);
    for (size_t i = 1; i < cost.sizes().size(); ++i) {
      ASSERT_LT(cost.sizes()[i - 1], cost.sizes()[i]);
      ASSERT_LE(cost.sizes()[i], std::max(cost.sizes()[i - 1] * 1.26, cost.sizes()[i - 1] + 2.0));
    }
  }
}

TEST(StepCost, LearnsStairsAndWhatContextsAdd) {
  const Device device = {in_stairs, 20e-6, 10e-9, 4e-9};
  StepCost cost(2048);
  learn(cost, device, 2048, 4000);
  for (const StepLoad& step : {load(30, 100, 0, 0), load(60, 4000, 0, 0), load(0, 0, 512, 0), load(0, 0, 2048, 6000),
                               load(40, 2000, 460, 1000), load(40, 100, 700, 8000)}) {
    const auto estimate = cost.estimate(step);
    ASSERT_TRUE(estimate);
    EXPECT_NEAR(estimate->likely / device.seconds(step), 1, 0.1) << step.tokens << " tokens";
  }
  EXPECT_NEAR(cost.seconds_per_prompt_token(), 68e-3 / 256, 0.1 * 68e-3 / 256);
}

TEST(StepCost, NoiseAndStallsMoveItLittle) {
  const Device device = {in_stairs, 20e-6, 10e-9, 4e-9};
  StepCost cost(2048);
  learn(cost, device, 2048, 2000, 0.2);
  const StepLoad step = load(40, 1000, 470, 1000);
  cost.note(step, 20);  // the machine did something else
  EXPECT_NEAR(cost.estimate(step)->likely / device.seconds(step), 1, 0.3);
}

TEST(StepCost, ColdFirstStepsCountForLittle) {
  StepCost cost(512);
  for (int i = 0; i < 10; ++i) cost.note(load(4, 10, 0, 0), 4e-3);
  cost.note(load(4, 10, 252, 0), 2);
  EXPECT_LE(cost.estimate(load(4, 10, 252, 0))->likely, 1.5 * 64 * 4e-3) << "no more than was expected, by half";
  cost.note(load(4, 10, 252, 3000), 70e-3);
  EXPECT_NEAR(cost.estimate(load(4, 10, 252, 0))->likely, 70e-3, 1e-6) << "a much quicker one says what it takes";
}

TEST(StepCost, TakesTheShapeOfWhatTheDeviceExpects) {
  StepCost cost(2048);
  std::vector<double> expected;
  for (const uint32_t size : cost.sizes()) expected.push_back(in_stairs(size));
  cost.expect(expected);
  EXPECT_DOUBLE_EQ(cost.estimate(load(0, 0, 512, 0))->likely, in_stairs(512));
  // The device runs slower than it thought: known of one size, concluded for others.
  cost.note(load(1, 10, 0, 0), 1.5 * in_stairs(1));
  EXPECT_NEAR(cost.estimate(load(0, 0, 512, 0))->likely, 1.5 * in_stairs(512), 1e-9);
  EXPECT_NEAR(cost.estimate(load(0, 0, 513, 0))->likely, 1.5 * in_stairs(513), 1e-9);
}

TEST(StepCost, WithoutExpectationsALargerStepCostsNoMoreForEachToken) {
  StepCost cost(512);
  cost.note(load(4, 10, 0, 0), 4e-3);
  const auto larger = cost.estimate(load(4, 10, 28, 0));
  ASSERT_TRUE(larger);
  EXPECT_DOUBLE_EQ(larger->at_most, 8 * 4e-3);
  EXPECT_DOUBLE_EQ(larger->likely, 4e-3) << "so that larger steps are tried";
  cost.note(load(4, 10, 124, 0), 40e-3);
  EXPECT_NEAR(cost.estimate(load(4, 10, 60, 0))->likely, 4e-3 + 60 * 36e-3 / 124, 1e-9) << "a line between the two";
}

TEST(StepCost, ForgetsWhatWasDisturbedLongAgo) {
  StepCost cost(512);
  cost.note(load(4, 10, 0, 0), 4e-3);
  cost.note(load(4, 10, 508, 0), 0.5);
  for (int i = 0; i < 5000; ++i) cost.note(load(4, 10, 0, 0), 4e-3);
  EXPECT_DOUBLE_EQ(cost.estimate(load(4, 10, 508, 0))->likely, 4e-3);
}

}  // namespace
}  // namespace hearth
