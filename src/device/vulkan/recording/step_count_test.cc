// What a step costs the host and the GPU's front end: launches, barriers and submits.

#include <gtest/gtest.h>

#include <numeric>

#include "device/vulkan/testing/test_decoder.h"
#include "device/vulkan/testing/test_model.h"

namespace hearth::vulkan {
namespace {

/// Of one layer when one token is decoded.
constexpr uint32_t kLaunchesOfALayer = 7;
constexpr uint32_t kBarriersOfALayer = 7;

class StepCountTest : public testing::Test {
 protected:
  void SetUp() override {
    auto gpu = Gpu::open({});
    if (!gpu && may_be_missing(gpu.error())) GTEST_SKIP() << to_string(gpu.error());
    ASSERT_TRUE(gpu) << to_string(gpu.error());
    gpu_ = std::move(*gpu);
    auto pipelines = Pipelines::create(*gpu_);
    ASSERT_TRUE(pipelines) << to_string(pipelines.error());
    pipelines_ = std::move(*pipelines);
  }

  std::unique_ptr<TestDecoder> decoder(uint32_t layers, bool gemma, NumberFormat format = NumberFormat::q4_0) {
    const DecoderShape shape = {.name = "small",
                                .hidden = 256,
                                .feed_forward = 512,
                                .heads = 4,
                                .kv_heads = 2,
                                .head_dim = 64,
                                .gemma = gemma,
                                .qk_norm = gemma};
    auto made = TestDecoder::create(*gpu_, *pipelines_, tuning_, shape,
                                    {.linear = format, .head = format, .layers = layers, .vocabulary = 256});
    EXPECT_TRUE(made) << to_string(made.error());
    return made ? std::move(*made) : nullptr;
  }

  std::unique_ptr<Gpu> gpu_;
  std::unique_ptr<Pipelines> pipelines_;
  Tuning tuning_;
};

TEST_F(StepCountTest, LayerOfOneToken) {
  for (const bool gemma : {false, true}) {
    const auto three = decoder(3, gemma), four = decoder(4, gemma);
    ASSERT_TRUE(three && four);
    const auto fewer = three->program().statistics(1, 1), more = four->program().statistics(1, 1);
    ASSERT_TRUE(fewer && more);
    EXPECT_EQ(more->dispatches - fewer->dispatches, kLaunchesOfALayer) << (gemma ? "gemma" : "llama");
    EXPECT_EQ(more->barriers - fewer->barriers, kBarriersOfALayer) << (gemma ? "gemma" : "llama");
  }
}

TEST_F(StepCountTest, OneSubmitForEachStep) {
  // Plain weights, whose kernels a software device compiles quickest.
  const auto one = decoder(1, false, NumberFormat::f32);
  ASSERT_TRUE(one);
  std::vector<int32_t> table(8);
  std::iota(table.begin(), table.end(), 0);
  const std::vector<std::span<const int32_t>> tables = {table};
  const std::vector<int32_t> ids = {1};
  const std::vector<uint32_t> rows = {0};
  // The first records, the second replays.
  for (uint32_t context = 0; context < 2; ++context) {
    const std::vector<SequenceInput> sequences = {{0, 1, context, tables}};
    const uint64_t before = gpu_->submits();
    const auto ran = one->program().run({ids, sequences, rows});
    ASSERT_TRUE(ran) << to_string(ran.error());
    EXPECT_EQ(gpu_->submits() - before, 1U) << "token " << context;
  }
}

}  // namespace
}  // namespace hearth::vulkan
