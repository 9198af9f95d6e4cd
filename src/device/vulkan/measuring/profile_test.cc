// What the device measures: its operations and its bandwidth.

#include <gtest/gtest.h>

#include <numeric>

#include "device/vulkan/measuring/bandwidth.h"
#include "device/vulkan/recording/program.h"
#include "device/vulkan/testing/test_model.h"
#include "device/vulkan/vulkan_device.h"

namespace hearth::vulkan {
namespace {

TEST(Profile, MeasuresEveryOperationThatRuns) {
  auto device = open_vulkan_device({});
  if (!device && may_be_missing(device.error())) GTEST_SKIP() << to_string(device.error());
  ASSERT_TRUE(device) << to_string(device.error());
  TestModel model(3);
  const TensorId in = model.input(64);
  const TensorId out = model.tensor(Rows::tokens, 96);
  const MatrixId weight = model.matrix({{NumberFormat::q8_0, 48}, {NumberFormat::q4_0, 48}}, 64);
  model.recording.operations.push_back(Linear{.in = in, .weight = weight, .out = out});
  model.result(out);
  auto program = model.compile(**device, {.tokens = 8, .logit_rows = 8, .sequences = 1});
  ASSERT_TRUE(program) << to_string(program.error());
  auto step = TestSteps(1, 0, 1, 5).next({5}, 64);

  const auto profile = (*program)->profile(step.input());
  ASSERT_TRUE(profile) << to_string(profile.error());
  ASSERT_EQ(profile->operation_seconds.size(), 3U) << "embed, linear, select rows: launches are added up";
  for (const double seconds : profile->operation_seconds) EXPECT_GT(seconds, 0);
  const auto& seconds = profile->operation_seconds;
  EXPECT_LE(std::accumulate(seconds.begin(), seconds.end(), 0.0), 1.01 * profile->seconds) << "two clocks";

  step.logit_rows.clear();
  const auto without_logits = (*program)->profile(step.input());
  ASSERT_TRUE(without_logits) << to_string(without_logits.error());
  EXPECT_EQ(without_logits->operation_seconds.back(), 0) << "nothing is selected";
}

/// The shader's sums are checked where it is run, so that an answer means that all was read.
TEST(Bandwidth, IsMeasuredOverBuffersOfAnySize) {
  auto gpu = Gpu::open({});
  if (!gpu && may_be_missing(gpu.error())) GTEST_SKIP() << to_string(gpu.error());
  ASSERT_TRUE(gpu) << to_string(gpu.error());
  auto pipelines = Pipelines::create(**gpu);
  ASSERT_TRUE(pipelines) << to_string(pipelines.error());
  for (const uint64_t bytes : {uint64_t{1}, uint64_t{5} << 20, uint64_t{64} << 20}) {
    const auto measured = measure_read_bandwidth(**gpu, **pipelines, bytes);
    ASSERT_TRUE(measured) << to_string(measured.error());
    EXPECT_GT(*measured, 0);
  }
}

}  // namespace
}  // namespace hearth::vulkan
