// Tuning piece by piece, between steps.

#include <gtest/gtest.h>

#include <array>

#include "device/vulkan/measuring/tuning_file.h"
#include "device/vulkan/testing/tuner_fixture.h"

namespace hearth::vulkan {
namespace {

/// Answers so often that nothing has come in, and then that something has.
class Patience {
 public:
  Patience(const Gpu& gpu, uint32_t questions) : gpu_(gpu), left_(questions) {}

  bool operator()() {
    if (left_ == 0 && !submits_) submits_ = gpu_.submits();
    return left_ == 0 || left_-- == 0;
  }

  /// Of the device since it first answered that something has come in.
  uint64_t submits_since() const { return submits_ ? gpu_.submits() - *submits_ : 0; }

 private:
  const Gpu& gpu_;
  uint32_t left_;
  std::optional<uint64_t> submits_;
};

std::array<bool, 3> are_measured(const MatmulTunings& tunings) {
  const auto is_measured = [&](const char* shape, uint32_t tokens) {
    return tunings.measured(shape, tokens) != nullptr;
  };
  return {is_measured(kLinear, 1), is_measured(kLogits, 1), is_measured(kLinear, 2)};
}

/// Patience grows, as a measurement is made anew that was interrupted.
TEST_F(MatmulTunerTest, GoesOnWhereItWasInterrupted) {
  auto device = *open(1000);
  auto program = compile(*device, 2);
  ASSERT_TRUE(program);
  const Gpu& gpu = static_cast<VulkanProgram&>(*program).gpu();
  const std::vector<float> before = run(*program);
  uint32_t interruptions = 0, between = 0;
  for (uint32_t questions = 0;; questions += 1 + questions / 8) {
    Patience patience(gpu, questions);
    const auto left = program->tune(std::ref(patience));
    ASSERT_TRUE(left) << to_string(left.error());
    EXPECT_EQ(patience.submits_since(), 0U) << "with patience for " << questions << " questions";
    const uint32_t made = device->pipelines_made();
    EXPECT_LT(relative_error(run(*program), before), 1e-5);
    if (!*left) break;
    ++interruptions;
    if (are_measured(tunings(*program)).front()) {
      ++between;
      EXPECT_FALSE(file().empty()) << "what is known is kept at once";
      EXPECT_EQ(device->pipelines_made(), made) << "no step waits for what was chosen";
    }
  }
  EXPECT_GT(interruptions, 3U);
  EXPECT_GT(between, 0U);
  EXPECT_EQ(are_measured(tunings(*program)), (std::array{true, true, true}));
  EXPECT_FALSE(program->tune([] { return false; }).value()) << "nothing is left";
  EXPECT_EQ(device->validation_messages(), 0U);

  auto later = *open(1000);
  auto next = compile(*later, 2);
  ASSERT_TRUE(next);
  EXPECT_EQ(are_measured(tunings(*next)), (std::array{true, true, true})) << "all of it was kept";
}

TEST_F(MatmulTunerTest, EndsInTheMiddle) {
  auto device = *open(1000);
  for (const uint32_t questions : {0U, 1U, 3U, 30U}) {
    auto program = compile(*device);
    ASSERT_TRUE(program);
    Patience patience(static_cast<VulkanProgram&>(*program).gpu(), questions);
    EXPECT_TRUE(program->tune(std::ref(patience)));
    program.reset();  // pipelines may still be on their way
  }
}

TEST_F(MatmulTunerTest, MeasuresNothingBesideAStep) {
  auto device = *open(1000);
  auto program = compile(*device);
  ASSERT_TRUE(program);
  TestSteps steps(1, 0, 0, 3);
  const auto step = steps.next({1}, 64);
  ASSERT_TRUE(program->submit(step.input()));
  const auto tuned = program->tune([] { return false; });
  ASSERT_FALSE(tuned);
  EXPECT_EQ(tuned.error().code, ErrorCode::internal);
  EXPECT_TRUE(program->wait());
}

TEST_F(MatmulTunerTest, BeginsWhenAllWeightsAreThere) {
  auto device = *open(1e-9);
  const auto late = device->declare_matrix({.parts = {{"late", NumberFormat::f32, 16}}, .cols = 32});
  ASSERT_TRUE(late) << to_string(late.error());
  auto program = model_.compile(*device, {.tokens = 1, .logit_rows = 1, .sequences = 1}, {.weights_arrive = true});
  ASSERT_TRUE(program) << to_string(program.error());
  const Gpu& gpu = static_cast<VulkanProgram&>(**program).gpu();
  const uint64_t submits = gpu.submits();
  EXPECT_TRUE((*program)->tune([] { return false; }).value()) << "there is something left";
  EXPECT_EQ(gpu.submits(), submits);
  ASSERT_TRUE(device->write_rows(*late, 0, 0, std::vector<std::byte>(16 * 32 * sizeof(float))));
  ASSERT_TRUE(tune_to_end(**program));
  EXPECT_EQ(tunings(**program).origin(kLinear, 1), TuningOrigin::measured);
}

/// Both of the steps that may be in flight.
TEST_F(MatmulTunerTest, StepsAreRecordedAnewWithOtherChoices) {
  auto device = *open(0);
  auto compiled = compile(*device);
  ASSERT_TRUE(compiled);
  auto& program = static_cast<VulkanProgram&>(*compiled);
  const std::vector<float> before = run(program);
  run(program);
  const MeasuredTuning tiles = {{{"few_tokens_limit", 0}, {"many_tokens_path", 1}}, 1e-5, 2e-5};
  const uint32_t made = device->pipelines_made();
  ASSERT_TRUE(program.set_matmuls({{kLinear, {{1, tiles}}}}));
  for (int slot = 0; slot < 2; ++slot) EXPECT_LT(relative_error(run(program), before), 1e-5);
  EXPECT_GT(device->pipelines_made(), made) << "the choice was taken";
  ASSERT_TRUE(program.set_matmuls({}));
  for (int slot = 0; slot < 2; ++slot) EXPECT_EQ(run(program), before);
}

TEST_F(MatmulTunerTest, PipelinesOfOtherChoicesAreKnownBefore) {
  auto device = *open(0);
  auto compiled = compile(*device);
  ASSERT_TRUE(compiled);
  auto& program = static_cast<VulkanProgram&>(*compiled);
  const MeasuredTuning tiles = {{{"few_tokens_limit", 0}, {"many_tokens_path", 1}}, 1e-5, 2e-5};
  const MeasuredTunings others = {{kLinear, {{1, tiles}}}};
  const uint32_t before = device->pipelines_made();
  const auto keys = program.pipelines_with(others, 1);
  ASSERT_TRUE(keys) << to_string(keys.error());
  EXPECT_EQ(device->pipelines_made(), before) << "they are listed only";
  EXPECT_EQ(program.matmuls().measured(kLinear, 1), nullptr) << "and not yet taken";
  ASSERT_TRUE(program.pipelines().prepare(*keys));
  const uint32_t made = device->pipelines_made();
  EXPECT_GT(made, before);
  ASSERT_TRUE(program.set_matmuls(others));
  run(program);
  EXPECT_EQ(device->pipelines_made(), made);
}

}  // namespace
}  // namespace hearth::vulkan
