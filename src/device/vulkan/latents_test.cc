// Latent attention on the Vulkan device against the reference device.

#include <gtest/gtest.h>

#include <functional>

#include "device/testing/latent_layer.h"
#include "device/vulkan/testing/device_fixture.h"

namespace hearth::vulkan {
namespace {

using namespace testing_latents;

/// The cache's f16.
constexpr double kHalfTolerance = 2e-3;

class LatentsTest : public DeviceTest, public testing::WithParamInterface<Shape> {
 protected:
  void expect_the_references_rows() {
    Runner is(GetParam(), *device_), should(GetParam(), *reference_);
    ASSERT_EQ(is.error(), "");
    for (const auto& counts : mixed_steps()) {
      ASSERT_LT(testing_latents::relative_error(is.step(counts), should.step(counts)), kHalfTolerance) << is.error();
    }
  }

  /// A text in one step, then the same in pieces and in company, then behind a prefix that another sequence wrote.
  void expect_rows_of_the_text_alone(
      const std::function<void(std::span<const float>, std::span<const float>)>& compare) {
    Runner runner(GetParam(), *device_);
    ASSERT_EQ(runner.error(), "");
    const std::vector<float> whole = runner.step({70})[0];
    const size_t width = whole.size() / 70;
    runner.begin_again(0);
    std::vector<float> pieces;
    for (const std::vector<uint32_t>& counts :
         {std::vector<uint32_t>{1, 3}, {1, 0, 1}, {2, 40, 1}, {17, 1, 1}, {9}, {33, 1, 5}, {7, 1, 1}}) {
      const std::vector<float> rows = runner.step(counts)[0];
      pieces.insert(pieces.end(), rows.begin(), rows.end());
    }
    compare(pieces, whole);
    runner.share(0, 1, 2);
    compare(runner.step({1, 38})[1], std::span(whole).subspan(32 * width));
  }
};
INSTANTIATE_TEST_SUITE_P(Shapes, LatentsTest, testing::ValuesIn(shapes()),
                         [](const auto& test) { return test.param.name; });

TEST_P(LatentsTest, IsTheReferences) { expect_the_references_rows(); }

TEST_P(LatentsTest, IsTheReferencesWhereContextsAreSplit) {
  ASSERT_TRUE(
      device_->set_tuning("attention_split_keys=16,attention_workgroups=1000,latent_heads=8,latent_subgroups=4"));
  expect_the_references_rows();
}

TEST_P(LatentsTest, RowsDependOnNothingButTheText) {
  expect_rows_of_the_text_alone([](std::span<const float> is, std::span<const float> should) {
    EXPECT_LT(vulkan::relative_error(is, should), 1e-5);
  });
}

TEST_P(LatentsTest, BatchInvariantRowsAreTheSameBits) {
  ASSERT_TRUE(device_->set_tuning("batch_invariant=1"));
  expect_rows_of_the_text_alone(
      [](std::span<const float> is, std::span<const float> should) { EXPECT_TRUE(std::ranges::equal(is, should)); });
}

TEST_P(LatentsTest, WhatLiesBehindAContextIsNeverRead) {
  Runner is(GetParam(), *device_), should(GetParam(), *reference_);
  is.poison();
  ASSERT_EQ(is.error(), "");
  for (const auto& counts : std::vector<std::vector<uint32_t>>{{1}, {4, 15}, {1, 1, 33}, {20, 1, 1}}) {
    EXPECT_LT(testing_latents::relative_error(is.step(counts), should.step(counts)), kHalfTolerance) << is.error();
  }
}

class PaddedColumnsTest : public DeviceTest {};

/// Ranks need be no whole blocks: plain matrices have zeros behind their columns on the device, and their inputs behind
/// their values.
TEST_F(PaddedColumnsTest, MeetPaddedRows) {
  for (const NumberFormat format : {NumberFormat::f32, NumberFormat::f16, NumberFormat::bf16}) {
    for (const uint32_t cols : {45U, 80U}) {
      TestModel model(3);
      const TensorId in = model.input(32), low = model.tensor(Rows::tokens, cols), out = model.tensor(Rows::tokens, 77);
      auto& operations = model.recording.operations;
      operations.push_back(Linear{.in = in, .weight = model.matrix({{NumberFormat::f32, cols}}, 32), .out = low});
      operations.push_back(Linear{.in = low, .weight = model.matrix({{format, 77}}, cols), .out = out});
      model.result(out);
      const ProgramLimits limits = {.tokens = 128, .logit_rows = 128, .sequences = 1};
      auto program = model.compile(*device_, limits);
      ASSERT_TRUE(program) << to_string(program.error());
      const auto reference = model.compile(*reference_, limits).value();
      TestSteps steps(1, 0, 0, 7);
      for (const uint32_t count : {1U, 16U, 70U}) {
        const auto step = steps.next({count}, 64);
        const auto result = (*program)->run(step.input()), expected = reference->run(step.input());
        ASSERT_TRUE(result) << to_string(result.error());
        EXPECT_LT(vulkan::relative_error(result->logits, expected->logits), 1e-5) << cols << " columns, " << count;
      }
    }
  }
}

}  // namespace
}  // namespace hearth::vulkan
