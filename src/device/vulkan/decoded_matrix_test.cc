// Blocks decoded to f16 for cooperative matrices: what that rounds is all that tells them from matrices of bytes.

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <random>
#include <tuple>

#include "device/vulkan/measuring/matmul_search.h"
#include "device/vulkan/testing/device_fixture.h"
#include "device/vulkan/testing/test_model.h"

namespace hearth::vulkan {
namespace {

/// Of a result in the Euclidean norm: scales, minimums, weights and activations are each rounded by up to 2^-12 of
/// their size.
constexpr double kTolerance = 1e-3;

const std::vector<NumberFormat> kBlocks = {NumberFormat::q8_0, NumberFormat::q4_0, NumberFormat::q4_1,
                                           NumberFormat::q5_0, NumberFormat::q5_1, NumberFormat::q4_k,
                                           NumberFormat::q5_k, NumberFormat::q6_k};

class DecodedMatrixTest : public DeviceTest, public testing::WithParamInterface<std::tuple<MatmulPath, NumberFormat>> {
 protected:
  void SetUp() override {
    DeviceTest::SetUp();
    if (!device_) return;
    const char* needed = path() == MatmulPath::workgroup_matrix ? "workgroup matrices"
                         : path() == MatmulPath::fragments      ? "known elements"
                                                                : "f16 to f32";
    if (!device_->info().description.contains(needed)) GTEST_SKIP() << "this device has no " << needed;
  }

  MatmulPath path() const { return std::get<0>(GetParam()); }
  NumberFormat format() const { return std::get<1>(GetParam()); }

  std::vector<float> run(const TestModel& model, MatmulPath path, const TestSteps::Step& step) {
    EXPECT_TRUE(device_->set_tuning(text_of(force_path(path))));
    auto program = model.compile(*device_, {.tokens = 128, .logit_rows = 128, .sequences = 1});
    if (!program) return ADD_FAILURE() << to_string(program.error()), std::vector<float>();
    const auto result = (*program)->run(step.input());
    if (!result) return ADD_FAILURE() << to_string(result.error()), std::vector<float>();
    return {result->logits.begin(), result->logits.end()};
  }

  void expect_near_bytes(const TestModel& model, double allowed, uint32_t tokens) {
    TestSteps steps(1, 0, 0, 7);
    const auto step = steps.next({tokens}, 64);
    const std::vector<float> bytes = run(model, MatmulPath::tiled, step);
    const std::vector<float> halves = run(model, path(), step);
    ASSERT_EQ(bytes.size(), halves.size());
    EXPECT_LT(relative_error(halves, bytes), allowed);
    EXPECT_GT(relative_error(halves, bytes), 1e-6) << "nothing was rounded: another path was taken";
  }
};

TEST_P(DecodedMatrixTest, Linear) {
  TestModel model(1);
  const uint32_t width = traits(format()).block_values == 256 ? 768 : 416;
  const TensorId in = model.input(width), out = model.tensor(Rows::tokens, 77);
  model.recording.operations.push_back(Linear{.in = in, .weight = model.matrix({{format(), 77}}, width), .out = out});
  model.result(out);
  expect_near_bytes(model, kTolerance, 70);
}

TEST_P(DecodedMatrixTest, GateUpOfTilesFilledInPart) {
  TestModel model(2);
  const TensorId in = model.input(512), out = model.tensor(Rows::tokens, 96);
  model.recording.operations.push_back(
      GateUp{.in = in, .gate_up = model.gate_up_matrix({{format(), 96}, {format(), 96}}, 512), .out = out});
  model.result(out);
  expect_near_bytes(model, 3 * kTolerance, 23);
}

/// A matmul whose rows are in plain numbers and in blocks reads its input in two forms of halves at once.
TEST_P(DecodedMatrixTest, PlainRowsBesideBlocks) {
  TestModel model(3);
  const TensorId in = model.input(256), out = model.tensor(Rows::tokens, 40 + 32 + 24);
  const MatrixId weight = model.matrix({{NumberFormat::f16, 40}, {format(), 32}, {NumberFormat::bf16, 24}}, 256);
  model.recording.operations.push_back(Linear{.in = in, .weight = weight, .out = out});
  model.result(out);
  expect_near_bytes(model, kTolerance, 40);
}

/// Weights beyond f16's range are multiplied as bytes, in the up as in the gate.
TEST_P(DecodedMatrixTest, TooLargeWeightsStayBytes) {
  TestModel model(4);
  std::vector<float> values(512 * 64, 0.01F);
  values[77] = 3e4F;
  const TensorId in = model.input(512), activated = model.tensor(Rows::tokens, 64),
                 out = model.tensor(Rows::tokens, 64);
  const MatrixId gate_up = model.gate_up_matrix({{format(), 64}, {format(), 64}}, 512);
  model.overwrite(gate_up, 1, values);
  model.recording.operations.push_back(GateUp{.in = in, .gate_up = gate_up, .out = activated});
  model.recording.operations.push_back(Linear{.in = in, .weight = model.matrix_of(values, 512, format()), .out = out});
  model.recording.operations.push_back(AddNorm{.residual = out, .branch = activated});
  model.result(out);
  const auto step = TestSteps(1, 0, 0, 7).next({23}, 64);
  const std::vector<float> result = run(model, path(), step);
  EXPECT_EQ(result, run(model, MatmulPath::matrix, step));
  EXPECT_TRUE(std::ranges::all_of(result, [](float value) { return std::isfinite(value); }));
}

/// Rows of sizes that one power of two holds (decoded_range.h), each by itself, and others as bytes.
TEST_P(DecodedMatrixTest, RowsOfDifferentSizes) {
  constexpr uint32_t kWidth = 512, kRows = 48, kTokens = 23;
  for (const double most : {100.0, 1e6}) {
    std::mt19937 random(5);
    std::normal_distribution<float> normal;
    std::vector<float> values;
    for (uint32_t row = 0; row < kRows; ++row) {
      const auto size = static_cast<float>(0.5 * std::pow(most, -static_cast<double>(row) / (kRows - 1)));
      for (uint32_t i = 0; i < kWidth; ++i) values.push_back(size * std::clamp(normal(random), -3.0F, 3.0F));
    }
    TestModel model(6);
    const TensorId in = model.input(kWidth), out = model.tensor(Rows::tokens, kRows);
    const MatrixId weight = model.matrix_of(values, kWidth, format());
    model.recording.operations.push_back(Linear{.in = in, .weight = weight, .out = out});
    model.result(out);
    const auto step = TestSteps(1, 0, 0, 7).next({kTokens}, 64);
    const std::vector<float> bytes = run(model, MatmulPath::tiled, step), halves = run(model, path(), step);
    for (uint32_t row = 0; row < kRows; ++row) {
      double error = 0, squares = 0;
      for (uint32_t t = 0; t < kTokens; ++t) {
        error += std::pow(halves[t * kRows + row] - bytes[t * kRows + row], 2.0);
        squares += std::pow(bytes[t * kRows + row], 2.0);
      }
      EXPECT_LT(std::sqrt(error / squares), 2 * kTolerance) << "of row " << row << ", " << most;
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Paths, DecodedMatrixTest,
                         testing::Combine(testing::Values(MatmulPath::decoded_matrix, MatmulPath::workgroup_matrix,
                                                          MatmulPath::fragments),
                                          testing::ValuesIn(kBlocks)),
                         [](const auto& test) {
                           const MatmulPath path = std::get<0>(test.param);
                           return fmt::format("{}_{}",
                                              path == MatmulPath::decoded_matrix ? "subgroup"
                                              : path == MatmulPath::fragments    ? "fragments"
                                                                                 : "workgroup",
                                              traits(std::get<1>(test.param)).name);
                         });

}  // namespace
}  // namespace hearth::vulkan
