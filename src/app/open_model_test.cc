// Which devices take a model's layers.

#include "app/open_model.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>

#include "base/testing/source_folder.h"
#include "device/open_device.h"

namespace hearth::app {
namespace {

class OpenDeviceForTest : public testing::Test {
 protected:
  /// The kinds of the devices that take layers, or the error.
  std::string kind_of(DeviceOptions options, const PlaceOptions& place = {}) const {
    const auto device = open_device_for(*checkpoint_, options, place);
    return device ? (*device)->info().kind : to_string(device.error());
  }

  std::unique_ptr<Checkpoint> checkpoint_ = open_checkpoint(source_folder() / "tests/golden/llama").value();
};

TEST_F(OpenDeviceForTest, SharesLayersAmongTheDevicesThatAreNamed) {
  EXPECT_EQ(kind_of({.device = "cpu"}), "cpu");
  EXPECT_EQ(kind_of({.device = "cpu", .gpu_layers = 0}), "cpu");
  EXPECT_EQ(kind_of({.device = "cpu+reference"}), "cpu+reference");
  EXPECT_THAT(kind_of({.device = "cpu", .gpu_layers = 2}), testing::HasSubstr("--device vulkan"));
  EXPECT_THAT(kind_of({.device = "cpu+toaster"}), testing::HasSubstr("toaster"));
  EXPECT_THAT(kind_of({.device = "cpu+"}), testing::HasSubstr("no device is called ''"));
}

class OpenGpuForTest : public OpenDeviceForTest {
 protected:
  void SetUp() override {
    if (const auto gpu = open_device("vulkan", 1); !gpu) GTEST_SKIP() << to_string(gpu.error());
  }
  void TearDown() override { unsetenv("HEARTH_VULKAN_MEMORY_MB"); }
};

TEST_F(OpenGpuForTest, GpuLayersAreTheLastOnes) {
  EXPECT_EQ(kind_of({.device = "vulkan"}), "vulkan");
  EXPECT_EQ(kind_of({.device = "vulkan", .gpu_layers = 1}), "cpu+vulkan");
  EXPECT_EQ(kind_of({.device = "auto", .gpu_layers = 3}), "cpu+vulkan");
  EXPECT_EQ(kind_of({.device = "vulkan", .gpu_layers = 4}), "vulkan");
  EXPECT_EQ(kind_of({.device = "vulkan", .gpu_layers = 0}), "cpu");
  EXPECT_EQ(kind_of({.device = "vulkan+vulkan"}), "vulkan+vulkan");
}

TEST_F(OpenGpuForTest, BatchInvarianceIsForEachOfTheDevices) {
  const auto description_of = [&](DeviceOptions options) {
    return open_device_for(*checkpoint_, options, {}).value()->info().description;
  };
  EXPECT_THAT(description_of({.device = "vulkan"}), testing::Not(testing::HasSubstr("batch-invariant")));
  EXPECT_THAT(description_of({.device = "vulkan", .batch_invariant = true}), testing::HasSubstr("batch-invariant"));
  const std::string both = description_of({.device = "vulkan+vulkan", .batch_invariant = true});
  EXPECT_NE(both.find("batch-invariant"), both.rfind("batch-invariant")) << both;
}

TEST_F(OpenGpuForTest, ASplitTellsTheMemoryOfItsMostModestDevice) {
  setenv("HEARTH_VULKAN_MEMORY_MB", "1", 1);
  DeviceOptions options = {.device = "cpu+vulkan", .gpu_layers = 1};
  const auto device = open_device_for(*checkpoint_, options, {.context_tokens = 16, .limits = {.tokens = 16}});
  ASSERT_TRUE(device) << to_string(device.error());
  const std::vector<DeviceMemory> memories = (*device)->memories();
  // One where the GPU computes on the processor, else two.
  EXPECT_LE(memories[(*device)->memory_of(3)].free_bytes, uint64_t{1} << 20);
}

TEST_F(OpenGpuForTest, ChoosesOnceAndKeepsToIt) {
  DeviceOptions options = {.device = "vulkan"};
  ASSERT_TRUE(open_device_for(*checkpoint_, options, {}));
  EXPECT_EQ(options.gpu_layers, 4U);
  setenv("HEARTH_VULKAN_MEMORY_MB", "0", 1);
  EXPECT_EQ(open_device_for(*checkpoint_, options, {}).error().code, ErrorCode::out_of_memory)
      << "what was on the GPU does not wander to the processor";
  EXPECT_EQ(kind_of({.device = "vulkan"}), "cpu");
}

TEST_F(OpenGpuForTest, TheProcessorTakesWhatTheGpuCannotHold) {
  setenv("HEARTH_VULKAN_MEMORY_MB", "2", 1);
  // The caches of ever more sequences leave less of it for layers.
  std::vector<std::string> kinds;
  for (uint32_t sequences = 1; sequences <= 64; ++sequences) {
    const std::string kind = kind_of(
        {.device = "vulkan"},
        {.context_tokens = 512, .sequences = sequences, .limits = {.tokens = 16, .logit_rows = 1, .sequences = 1}});
    if (kinds.empty() || kinds.back() != kind) kinds.push_back(kind);
  }
  EXPECT_THAT(kinds, testing::ElementsAre("vulkan", "cpu+vulkan", "cpu"));
}

}  // namespace
}  // namespace hearth::app
