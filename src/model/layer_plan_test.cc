#include "model/layer_plan.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <random>

namespace hearth {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

/// Ten layers of 100 bytes, an embedding and a head of 300 each, 50 for steps.
PlannedDevice device(bool is_gpu, uint64_t usable_bytes, uint64_t pool) {
  return {.name = is_gpu ? "a GPU" : "the CPU",
          .is_gpu = is_gpu,
          .pool = pool,
          .usable_bytes = usable_bytes,
          .layer_bytes = std::vector<uint64_t>(10, 100),
          .embedding_bytes = 300,
          .head_bytes = 300,
          .step_bytes = 50};
}
PlannedDevice gpu(uint64_t usable_bytes, uint64_t pool = 1) { return device(true, usable_bytes, pool); }
PlannedDevice cpu(uint64_t usable_bytes) { return device(false, usable_bytes, 0); }

LayerPlan plan(const std::vector<PlannedDevice>& devices, std::optional<uint32_t> gpu_layers = {}) {
  const auto made = plan_layers(devices, gpu_layers);
  EXPECT_TRUE(made) << to_string(made.error());
  return made ? *made : LayerPlan{};
}

TEST(LayerPlan, WhatFitsTheGpuGoesThere) {
  EXPECT_THAT(plan({cpu(10000), gpu(1650)}), ElementsAre(0, 10));
  EXPECT_THAT(plan({gpu(1650), cpu(10000)}), ElementsAre(10, 0));
  EXPECT_THAT(plan({gpu(1650)}), ElementsAre(10));
  EXPECT_THAT(plan({cpu(1650)}), ElementsAre(10));
}

TEST(LayerPlan, TheProcessorTakesAsFewAsItCan) {
  // One byte less: the first layer, and the embedding with it, go.
  EXPECT_THAT(plan({cpu(10000), gpu(1649)}), ElementsAre(1, 9));
  EXPECT_THAT(plan({cpu(10000), gpu(1250)}), ElementsAre(1, 9));
  EXPECT_THAT(plan({cpu(10000), gpu(1249)}), ElementsAre(2, 8));
  EXPECT_THAT(plan({cpu(10000), gpu(450)}), ElementsAre(9, 1));
  EXPECT_THAT(plan({cpu(10000), gpu(449)}), ElementsAre(10, 0)) << "the head does not fit";
  EXPECT_THAT(plan({gpu(1249), cpu(10000)}), ElementsAre(8, 2));
}

TEST(LayerPlan, ATiedEmbeddingCountsOnceOnOneDeviceAndOnceOnEachOfTwo) {
  auto tied = [](PlannedDevice device) {
    device.tied = true;
    return device;
  };
  EXPECT_THAT(plan({cpu(10000), tied(gpu(1350))}), ElementsAre(0, 10));
  EXPECT_THAT(plan({cpu(10000), tied(gpu(1349))}), ElementsAre(1, 9)) << "1250 with the head";
}

TEST(LayerPlan, GpusShareInProportionToWhatTheyHave) {
  EXPECT_THAT(plan({gpu(2000, 1), gpu(2000, 2)}), ElementsAre(5, 5));
  const LayerPlan uneven = plan({gpu(3000, 1), gpu(1000, 2)});
  EXPECT_GE(uneven[0], 7U);
  EXPECT_GE(uneven[1], 1U);
  // Together they hold seven layers with embedding and head.
  EXPECT_THAT(plan({cpu(10000), gpu(700, 1), gpu(650, 2)}), ElementsAre(1, 6, 3));
}

TEST(LayerPlan, AMemoryThatDevicesShareIsNotPlannedTwice) {
  const std::vector<PlannedDevice> same = {gpu(1000, 1), gpu(1000, 1)};
  EXPECT_FALSE(plan_layers(same, {})) << "1700 with the steps' memory twice";
  const std::vector<PlannedDevice> enough = {gpu(1700, 1), gpu(1700, 1)};
  EXPECT_TRUE(plan_layers(enough, {}));
  // An integrated GPU may use a part of the processor's memory.
  const std::vector<PlannedDevice> integrated = {cpu(1700), device(true, 1250, 0)};
  EXPECT_THAT(plan(integrated), ElementsAre(1, 9));
  EXPECT_THAT(plan({cpu(1699), device(true, 1250, 0)}), ElementsAre(10, 0)) << "1700 with the steps' memory twice";
  EXPECT_FALSE(plan_layers(std::vector{cpu(1649), device(true, 1250, 0)}, {}));
}

TEST(LayerPlan, LayersOnTheGpuCanBeChosen) {
  const std::vector<PlannedDevice> both = {cpu(10000), gpu(1250)};
  EXPECT_THAT(plan(both, 0), ElementsAre(10, 0));
  EXPECT_THAT(plan(both, 4), ElementsAre(6, 4));
  EXPECT_THAT(plan({cpu(10000), gpu(2000)}, 99), ElementsAre(0, 10));
  EXPECT_THAT(plan({cpu(10000)}, 0), ElementsAre(10));

  const auto too_many = plan_layers(both, 10);
  ASSERT_FALSE(too_many);
  EXPECT_EQ(too_many.error().code, ErrorCode::out_of_memory);
  EXPECT_THAT(too_many.error().hint, HasSubstr("--gpu-layers 9"));
  EXPECT_EQ(plan_layers(std::vector{cpu(10000)}, 3).error().code, ErrorCode::invalid_argument);
  EXPECT_EQ(plan_layers(std::vector{gpu(10000)}, 3).error().code, ErrorCode::invalid_argument);
}

TEST(LayerPlan, LayersWhoseKeysOthersReadStayTogether) {
  const auto whole = [](std::vector<PlannedDevice> devices) {
    for (PlannedDevice& one : devices) one.whole_from = 4;
    return devices;
  };
  EXPECT_THAT(plan(whole({cpu(10000), gpu(1249)})), ElementsAre(2, 8)) << "as without";
  EXPECT_THAT(plan(whole({cpu(10000), gpu(950)})), ElementsAre(4, 6));
  EXPECT_THAT(plan(whole({cpu(10000), gpu(949)})), ElementsAre(10, 0)) << "six layers do not fit";
  EXPECT_THAT(plan(whole({gpu(1400, 1), gpu(1400, 2)})), ElementsAre(4, 6));
  EXPECT_THAT(plan(whole({cpu(10000), gpu(10000)}), 6), ElementsAre(4, 6));
  const auto parted = plan_layers(whole({cpu(10000), gpu(10000)}), 5);
  ASSERT_FALSE(parted);
  EXPECT_EQ(parted.error().code, ErrorCode::invalid_argument);
  EXPECT_THAT(parted.error().message, HasSubstr("layers 4 to 9"));
  EXPECT_THAT(parted.error().hint, HasSubstr("--gpu-layers 6"));
}

TEST(LayerPlan, RefusesWithNumbersWhatFitsNowhere) {
  std::vector<PlannedDevice> devices = {cpu(400), gpu(500)};
  for (PlannedDevice& one : devices) {
    one.usable_bytes *= 1'000'000;
    for (uint64_t& bytes : one.layer_bytes) bytes *= 1'000'000;
  }
  const auto too_large = plan_layers(devices, {});
  ASSERT_FALSE(too_large);
  EXPECT_EQ(too_large.error().code, ErrorCode::out_of_memory);
  EXPECT_THAT(too_large.error().message, testing::AllOf(HasSubstr("1.00 GB on the CPU, which has 400.0 MB"),
                                                        HasSubstr("1.00 GB on a GPU, which has 500.0 MB")));
}

TEST(LayerPlan, UnknownMemoryHoldsEverything) {
  EXPECT_THAT(plan({cpu(UINT64_MAX), gpu(UINT64_MAX)}), ElementsAre(0, 10));
  EXPECT_THAT(plan({gpu(UINT64_MAX, 1), gpu(UINT64_MAX, 2)}), ElementsAre(5, 5));
}

// The laws of every plan: all layers are somewhere, no memory is over-committed, and one layer more on the GPUs would
// not fit.
TEST(LayerPlan, HoldsItsLawsForRandomDevices) {
  std::mt19937 random(11);
  int planned = 0;
  for (int round = 0; round < 2000; ++round) {
    std::vector<PlannedDevice> devices = {cpu(random() % 2500), gpu(random() % 2000, 1), gpu(random() % 2000, 2)};
    for (PlannedDevice& one : devices) {
      for (uint64_t& bytes : one.layer_bytes) bytes = 50 + random() % 100;
    }
    const auto made = plan_layers(devices, {});
    if (!made) continue;
    ++planned;
    uint32_t next = 0;
    for (size_t d = 0; d < devices.size(); ++d) {
      EXPECT_LE(devices[d].bytes_of(next, (*made)[d]), devices[d].usable_bytes);
      next += (*made)[d];
    }
    EXPECT_EQ(next, 10U);
    const uint32_t on_processor = (*made)[0];
    if (on_processor > 0) {
      EXPECT_FALSE(plan_layers(devices, 10 - on_processor + 1));
    }
  }
  EXPECT_GT(planned, 500);
}

}  // namespace
}  // namespace hearth
