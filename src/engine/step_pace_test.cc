#include "engine/step_pace.h"

#include <gtest/gtest.h>

#include <limits>
#include <random>

namespace hearth {
namespace {

/// A device on which a step of n decoding sequences and p tokens of prompts takes base + p * slope.
struct Device {
  double base, slope;
  double noise = 0;
  std::mt19937 random{1};

  double seconds(uint32_t prompt_tokens) {
    std::uniform_real_distribution<double> about(1 - noise, 1 + noise);
    return (base + slope * prompt_tokens) * about(random);
  }
};

/// Steps as a busy server makes them: prompts come and end, and now and then there are none.
double worst_step_with_prompts(StepPace& pace, Device& device, int steps, int ignored) {
  double worst = 0;
  for (int i = 0; i < steps; ++i) {
    const uint32_t most = i % 7 == 6 ? 0U : i % 5 == 4 ? 9U : 1000U;
    const uint32_t tokens = std::min(pace.prompt_tokens(), most);
    pace.note(tokens, device.seconds(tokens));
    if (i >= ignored) worst = std::max(worst, device.base + device.slope * tokens);
  }
  return worst;
}

TEST(StepPace, StepsStayBelowTheStretchOnFastAndSlowDevices) {
  for (const Device& kind : {Device{8e-3, 0.5e-3}, Device{4e-3, 0.1e-3}, Device{0.4, 0.01}, Device{1e-3, 20e-6}}) {
    Device device = kind;
    StepPace pace(128, 3);
    const double worst = worst_step_with_prompts(pace, device, 100, 10);
    EXPECT_LE(worst, 3.01 * device.base);
    EXPECT_GE(worst, 2.0 * device.base) << "and prompts get what is theirs";
  }
}

TEST(StepPace, NoiseAndStallsMoveItLittle) {
  Device device{8e-3, 0.5e-3, 0.2};
  StepPace pace(128, 3);
  worst_step_with_prompts(pace, device, 50, 0);
  pace.note(0, 2.0);  // the machine did something else for two seconds
  EXPECT_LE(worst_step_with_prompts(pace, device, 100, 10), 4.5 * device.base);
}

TEST(StepPace, FollowsTheNumberOfSequences) {
  Device device{4e-3, 0.4e-3};
  StepPace pace(128, 3);
  worst_step_with_prompts(pace, device, 50, 0);
  EXPECT_NEAR(pace.prompt_tokens(), 16, 16);
  device.base = 16e-3;
  worst_step_with_prompts(pace, device, 30, 0);
  EXPECT_NEAR(pace.prompt_tokens(), 80, 16);
}

TEST(StepPace, KnowsTheSlopeAfterLongAnswersWithoutPrompts) {
  Device device{8e-3, 0.25e-3};
  StepPace pace(128, 3);
  worst_step_with_prompts(pace, device, 50, 0);
  for (int i = 0; i < 1000; ++i) pace.note(0, device.seconds(0));
  EXPECT_NEAR(pace.prompt_tokens(), 64, 16);
}

TEST(StepPace, HasLimits) {
  StepPace cheap(128, 3), dear(128, 3), small(10, 3);
  for (const uint32_t tokens : {32U, 0U, 32U, 0U}) {
    cheap.note(tokens, 10e-3 + tokens * 1e-6);
    dear.note(tokens, 10e-3 + tokens * 1.0);
    small.note(tokens, 10e-3 + tokens * 1e-6);
  }
  EXPECT_EQ(cheap.prompt_tokens(), 128U);
  EXPECT_EQ(dear.prompt_tokens(), StepPace::kLeast);
  EXPECT_EQ(small.prompt_tokens(), 10U);
  EXPECT_EQ(StepPace(128, std::numeric_limits<double>::infinity()).prompt_tokens(), 128U);
  EXPECT_EQ(StepPace(128, 3).prompt_tokens(), 32U) << "before anything is known";
}

}  // namespace
}  // namespace hearth
