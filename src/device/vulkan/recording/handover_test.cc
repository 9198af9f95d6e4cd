// Programs that take activations from the host and hand others on.

#include <gtest/gtest.h>

#include "device/vulkan/testing/device_fixture.h"
#include "device/vulkan/testing/test_model.h"

namespace hearth::vulkan {
namespace {

class HandoverTest : public DeviceTest {};

/// Two inputs, one of which is added to in place; what is handed on was written by a norm, by a matmul and in place.
/// Matmuls over blocks read their input as bytes, plain ones as floats: inputs must come in both forms.
TestModel model_between_devices(NumberFormat format) {
  constexpr uint32_t kWidth = 64;
  TestModel model(3);
  const TensorId residual = model.tensor(Rows::tokens, kWidth);
  const TensorId given = model.tensor(Rows::tokens, kWidth);
  const TensorId branch = model.tensor(Rows::tokens, kWidth);
  const TensorId normed = model.tensor(Rows::tokens, kWidth);
  const TensorId activated = model.tensor(Rows::tokens, 3 * kWidth);
  model.recording.inputs = {residual, given};
  model.recording.outputs = {activated, normed, residual};
  model.recording.has_logits = false;
  model.recording.operations = {
      Linear{.in = given, .weight = model.matrix({{format, kWidth}}, kWidth), .out = branch},
      AddNorm{.residual = residual, .branch = branch, .norm = model.vector(kWidth, 0.1F, 1.0F), .out = normed},
      GateUp{.in = normed,
             .gate_up = model.gate_up_matrix({{format, 3 * kWidth}, {format, 3 * kWidth}}, kWidth),
             .out = activated}};
  return model;
}

TEST_F(HandoverTest, TakesAndHandsOnWhatTheReferenceDoes) {
  for (const NumberFormat format : {NumberFormat::f16, NumberFormat::q8_0}) {
    const TestModel model = model_between_devices(format);
    const ProgramLimits limits = {.tokens = 40, .logit_rows = 1, .sequences = 1};
    const auto program = model.compile(*device_, limits);
    ASSERT_TRUE(program) << to_string(program.error());
    const auto reference = model.compile(*reference_, limits).value();
    TestSteps steps(1, 0, 0, 1);
    std::mt19937 random(5);
    std::normal_distribution<float> normal(0, 1);
    for (const uint32_t tokens : {1U, 40U, 2U}) {
      std::vector<std::vector<float>> values(2, std::vector<float>(size_t{tokens} * 64));
      for (auto& rows : values) std::ranges::generate(rows, [&] { return normal(random); });
      const std::vector<std::span<const float>> spans(values.begin(), values.end());
      const auto step = steps.next({tokens}, 1000);
      StepInput input = {.token_ids = step.token_ids, .sequences = step.sequences, .activations = spans};
      const auto is = (*program)->run(input), should = reference->run(input);
      ASSERT_TRUE(is) << to_string(is.error());
      EXPECT_TRUE(is->logits.empty());
      ASSERT_EQ(is->activations.size(), 3U);
      for (size_t output = 0; output < 3; ++output) {
        ASSERT_EQ(is->activations[output].size(), should->activations[output].size());
        EXPECT_LT(relative_error(is->activations[output], should->activations[output]), 1e-2)
            << "output " << output << " of " << tokens << " tokens";
      }
    }
  }
}

TEST_F(HandoverTest, RefusesActivationsThatDoNotFit) {
  const TestModel model = model_between_devices(NumberFormat::f16);
  const auto program = model.compile(*device_, {.tokens = 4, .logit_rows = 1, .sequences = 1}).value();
  const auto step = TestSteps(1, 0, 0, 1).next({2}, 1000);
  const std::vector<float> rows(size_t{2} * 64);
  const std::vector<std::span<const float>> one = {rows}, short_one = {rows, std::span(rows).first(64)};
  for (const auto& activations : {one, short_one}) {
    const StepInput input = {.token_ids = step.token_ids, .sequences = step.sequences, .activations = activations};
    EXPECT_EQ(program->run(input).error().code, ErrorCode::internal);
  }
}

}  // namespace
}  // namespace hearth::vulkan
