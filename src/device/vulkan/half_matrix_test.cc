// Matmuls on cooperative matrices of f16: as exact as float32, whatever the shape and the size of weights and
// activations.

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <random>
#include <tuple>

#include "device/vulkan/recording/program.h"
#include "device/vulkan/testing/device_fixture.h"
#include "device/vulkan/testing/test_model.h"
#include "tensor/float16.h"

namespace hearth::vulkan {
namespace {

/// Of a result in the Euclidean norm. Sums of 416 products in float32 are off by 3e-7.
constexpr double kTolerance = 2e-6;

class HalfMatrixTest : public DeviceTest {
 protected:
  void SetUp() override {
    DeviceTest::SetUp();
    if (!device_) return;
    if (!device_->info().description.contains("f16 to f32"))
      GTEST_SKIP() << "this device multiplies no matrices of f16";
  }

  void TearDown() override {
    program_.reset();
    DeviceTest::TearDown();
  }

  /// How often steps of `tokens` tokens launch a shader.
  size_t launches(Shader shader, uint32_t tokens) {
    const auto listed = static_cast<VulkanProgram&>(*program_).statistics(tokens, tokens);
    EXPECT_TRUE(listed) << to_string(listed.error());
    return static_cast<size_t>(
        std::ranges::count(listed->launches, shader, [](const Launch& launch) { return launch.key.shader; }));
  }

  void compile(const TestModel& model) {
    auto program = model.compile(*device_, {.tokens = 256, .logit_rows = 256, .sequences = 1});
    ASSERT_TRUE(program) << to_string(program.error());
    program_ = std::move(*program);
  }

  void expect_near_reference(const TestModel& model, double allowed, const std::vector<uint32_t>& counts) {
    compile(model);
    const auto reference = model.compile(*reference_, {.tokens = 256, .logit_rows = 256, .sequences = 1}).value();
    TestSteps steps(1, 0, 0, 7);
    for (const uint32_t count : counts) {
      const auto step = steps.next({count}, 64);
      const auto expected = reference->run(step.input());
      const auto result = program_->run(step.input());
      ASSERT_TRUE(result) << to_string(result.error());
      EXPECT_LT(relative_error(result->logits, expected->logits), allowed) << count << " tokens";
      EXPECT_GT(launches(Shader::linear_half_matrix, count) + launches(Shader::gate_up_half_matrix, count), 0U);
    }
  }

  std::unique_ptr<Program> program_;
};

TEST_F(HalfMatrixTest, LinearOfUnevenShapes) {
  for (const auto& [format, width, counts] : {std::tuple(NumberFormat::f16, 416U, std::vector{9U, 40U, 130U}),
                                              std::tuple(NumberFormat::bf16, 96U, std::vector{23U})}) {
    TestModel model(1);
    const TensorId in = model.input(width), out = model.tensor(Rows::tokens, 77);
    const MatrixId weight = model.matrix({{format, 77}}, width);
    model.recording.operations.push_back(
        Linear{.in = in, .weight = weight, .bias = model.vector(77, 0.5F), .out = out});
    model.result(out);
    expect_near_reference(model, kTolerance, counts);
  }
}

TEST_F(HalfMatrixTest, SeveralRunsReadOneSplit) {
  TestModel model(2);
  const TensorId in = model.input(256), out = model.tensor(Rows::tokens, 40 + 32 + 24);
  const MatrixId weight =
      model.matrix({{NumberFormat::f16, 40}, {NumberFormat::f32, 32}, {NumberFormat::bf16, 24}}, 256);
  model.recording.operations.push_back(Linear{.in = in, .weight = weight, .out = out});
  model.result(out);
  expect_near_reference(model, kTolerance, {20});
  EXPECT_EQ(launches(Shader::split_floats, 20), 1U);
  EXPECT_EQ(launches(Shader::linear_half_matrix, 20), 2U);
  EXPECT_EQ(launches(Shader::linear_many, 20), 1U) << "weights in f32 have no matrices";
}

TEST_F(HalfMatrixTest, LogitsAreScaledAndCapped) {
  TestModel model(3);
  const TensorId in = model.input(64), selected = model.tensor(Rows::logits, 64);
  model.recording.logits = model.tensor(Rows::logits, 301);
  model.recording.operations.push_back(SelectRows{.in = in, .out = selected});
  model.recording.operations.push_back(Logits{.in = selected,
                                              .head = model.matrix({{NumberFormat::bf16, 301}}, 64),
                                              .scale = 4.0F,
                                              .softcap = 3.0F,
                                              .out = model.recording.logits});
  expect_near_reference(model, kTolerance, {17});
}

TEST_F(HalfMatrixTest, GateUp) {
  for (const auto& [activation, format, count] : {std::tuple(Activation::silu, NumberFormat::f16, 70U),
                                                  std::tuple(Activation::gelu_tanh, NumberFormat::bf16, 12U)}) {
    TestModel model(4);
    const TensorId in = model.input(160), out = model.tensor(Rows::tokens, 72);
    model.recording.operations.push_back(GateUp{.in = in,
                                                .gate_up = model.gate_up_matrix({{format, 72}, {format, 72}}, 160),
                                                .activation = activation,
                                                .out = out});
    model.result(out);
    expect_near_reference(model, kTolerance, {count});
  }
}

TEST_F(HalfMatrixTest, GateUpGoesOnAsBytes) {
  TestModel model(5);
  const TensorId in = model.input(64), activated = model.tensor(Rows::tokens, 96), out = model.tensor(Rows::tokens, 40);
  const MatrixId gate_up = model.gate_up_matrix({{NumberFormat::f16, 96}, {NumberFormat::f16, 96}}, 64);
  model.recording.operations.push_back(GateUp{.in = in, .gate_up = gate_up, .out = activated});
  model.recording.operations.push_back(
      Linear{.in = activated, .weight = model.matrix({{NumberFormat::q8_0, 40}}, 96), .out = out});
  model.result(out);
  expect_near_reference(model, 3e-2, {11});
}

/// Weights and activations of all sizes, each row of its own, with values far above and below the rest of their row.
class ExtremesTest : public HalfMatrixTest, public testing::WithParamInterface<NumberFormat> {
 protected:
  static constexpr uint32_t kWidth = 96, kRows = 24, kTokens = 12;

  std::vector<float> rows_of(const std::vector<float>& scales, uint32_t count) {
    std::normal_distribution<float> normal;
    std::vector<float> values;
    for (uint32_t row = 0; row < count; ++row) {
      for (uint32_t i = 0; i < kWidth; ++i) {
        const float reach = std::exp2(-static_cast<float>(random_() % 12));
        values.push_back(scales[row % scales.size()] * reach * normal(random_) * (i == row ? 500.0F : 1.0F));
      }
    }
    return values;
  }

  std::mt19937 random_{6};
};

TEST_P(ExtremesTest, AreAsExactAsInFloat32) {
  const bool half = GetParam() == NumberFormat::f16;
  // The last of f16 are subnormal numbers alone.
  auto weights = rows_of(half ? std::vector{1.0F, 20.0F, 1e-4F, 3e-9F} : std::vector{1e-30F, 1e-9F, 1.0F, 1e5F}, kRows);
  for (float& weight : weights) {
    weight = half ? f16_to_f32(f32_to_f16(weight)) : bf16_to_f32(f32_to_bf16(weight));
  }
  const auto inputs = rows_of({1e-6F, 1.0F, 1e7F}, kTokens);
  TestModel model(6);
  const TensorId in = model.tensor(Rows::tokens, kWidth), out = model.tensor(Rows::tokens, kRows);
  model.recording.operations.push_back(Embed{.table = model.matrix_of(inputs, kWidth), .out = in});
  model.recording.operations.push_back(
      Linear{.in = in, .weight = model.matrix_of(weights, kWidth, GetParam()), .out = out});
  model.result(out);
  compile(model);
  const auto step = TestSteps(1, 0, 0, 7).next({kTokens}, kTokens);
  const auto result = program_->run(step.input());
  ASSERT_TRUE(result) << to_string(result.error());
  ASSERT_GT(launches(Shader::linear_half_matrix, kTokens), 0U);
  for (uint32_t t = 0; t < kTokens; ++t) {
    const auto token = static_cast<size_t>(step.token_ids[t]);
    for (uint32_t row = 0; row < kRows; ++row) {
      double sum = 0, squares = 0;
      for (uint32_t i = 0; i < kWidth; ++i) {
        const double product = double{inputs[token * kWidth + i]} * weights[row * kWidth + i];
        sum += product;
        squares += product * product;
      }
      EXPECT_NEAR(result->logits[t * kRows + row], sum, kTolerance * std::sqrt(squares)) << "row " << row;
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Formats, ExtremesTest, testing::Values(NumberFormat::f16, NumberFormat::bf16),
                         [](const auto& test) { return std::string(traits(test.param).name); });

}  // namespace
}  // namespace hearth::vulkan
