// Which device is opened where there are several, and what is said where there is none.

#include <gmock/gmock.h>

#include "device/vulkan/gpu/gpu_properties.h"

namespace hearth::vulkan {
namespace {

using testing::HasSubstr;

GpuProperties gpu(std::string name, VkPhysicalDeviceType type, std::string obstacle = "") {
  GpuProperties properties;
  properties.name = std::move(name);
  properties.type = type;
  properties.obstacle = std::move(obstacle);
  return properties;
}

const std::vector<GpuProperties> kMachine = {
    gpu("llvmpipe (LLVM 19)", VK_PHYSICAL_DEVICE_TYPE_CPU),
    gpu("Virtio-GPU", VK_PHYSICAL_DEVICE_TYPE_VIRTUAL_GPU),
    gpu("AMD Radeon 780M", VK_PHYSICAL_DEVICE_TYPE_INTEGRATED_GPU),
    gpu("GeForce 8800", VK_PHYSICAL_DEVICE_TYPE_DISCRETE_GPU, "Vulkan 1.0.0 is older than 1.3"),
    gpu("AMD Radeon RX 7900 XTX", VK_PHYSICAL_DEVICE_TYPE_DISCRETE_GPU),
};

uint32_t chosen(std::span<const GpuProperties> found, const GpuChoice& choice) {
  const auto index = choose_gpu(found, choice);
  EXPECT_TRUE(index) << to_string(index.error());
  return index.value_or(UINT32_MAX);
}

std::string refusal(std::span<const GpuProperties> found, const GpuChoice& choice) {
  const auto index = choose_gpu(found, choice);
  EXPECT_FALSE(index);
  if (index) return {};
  EXPECT_EQ(index.error().code, ErrorCode::unsupported);
  return index.error().message;
}

TEST(GpuChoice, PrefersDiscreteThenIntegratedThenVirtualThenCpu) {
  const auto machine = std::span(kMachine);
  EXPECT_EQ(chosen(machine, {}), 4U);
  EXPECT_EQ(chosen(machine.first(4), {}), 2U);
  EXPECT_EQ(chosen(machine.first(2), {}), 1U);
  EXPECT_EQ(chosen(machine.first(1), {}), 0U);
}

TEST(GpuChoice, TakesOneThatOnlyCompilesLast) {
  std::vector<GpuProperties> found = {gpu("Null hardware", VK_PHYSICAL_DEVICE_TYPE_INTEGRATED_GPU),
                                      gpu("llvmpipe", VK_PHYSICAL_DEVICE_TYPE_CPU)};
  found[0].compiles_only = true;
  EXPECT_EQ(chosen(found, {}), 1U);
  EXPECT_EQ(chosen(std::span(found).first(1), {}), 0U);
}

TEST(GpuChoice, TakesThePartOfAName) {
  EXPECT_EQ(chosen(kMachine, {.name = "LLVMPIPE"}), 0U);
  EXPECT_EQ(chosen(kMachine, {.name = "780m"}), 2U);
  EXPECT_EQ(chosen(kMachine, {.name = "radeon"}), 4U);  // the discrete one of two
}

TEST(GpuChoice, TakesTheNumber) { EXPECT_EQ(chosen(kMachine, {.index = 1}), 1U); }

TEST(GpuChoice, SaysWhyNot) {
  EXPECT_THAT(refusal(kMachine, {.index = 3}), HasSubstr("GeForce 8800"));
  EXPECT_THAT(refusal(kMachine, {.index = 3}), HasSubstr("older than 1.3"));
  EXPECT_THAT(refusal(kMachine, {.index = 5}), HasSubstr("no Vulkan device 5"));
  EXPECT_THAT(refusal(kMachine, {.name = "GeForce"}), HasSubstr("3: GeForce 8800 (Vulkan 1.0.0 is older than 1.3)"));
  EXPECT_THAT(refusal({}, {}), HasSubstr("none found"));
}

QueueFamilies families(const std::vector<VkQueueFlags>& flags) {
  std::vector<VkQueueFamilyProperties> all;
  for (const VkQueueFlags one : flags) all.push_back({.queueFlags = one, .queueCount = 1});
  return choose_queue_families(all);
}

constexpr VkQueueFlags kAll = VK_QUEUE_GRAPHICS_BIT | VK_QUEUE_COMPUTE_BIT | VK_QUEUE_TRANSFER_BIT;

TEST(QueueFamilies, UploadsGoToAnEngineThatOnlyCopies) {
  // As an NVIDIA card lists them: everything, copies, compute, video.
  const auto nvidia =
      families({kAll | VK_QUEUE_SPARSE_BINDING_BIT, VK_QUEUE_TRANSFER_BIT | VK_QUEUE_SPARSE_BINDING_BIT,
                VK_QUEUE_COMPUTE_BIT | VK_QUEUE_TRANSFER_BIT, VK_QUEUE_TRANSFER_BIT | VK_QUEUE_VIDEO_DECODE_BIT_KHR});
  EXPECT_EQ(nvidia.compute, 0U);
  EXPECT_EQ(nvidia.transfer, 1U);
  const auto video_first =
      families({VK_QUEUE_TRANSFER_BIT | VK_QUEUE_VIDEO_DECODE_BIT_KHR, VK_QUEUE_TRANSFER_BIT, VK_QUEUE_COMPUTE_BIT});
  EXPECT_EQ(video_first.compute, 2U);
  EXPECT_EQ(video_first.transfer, 1U);
}

TEST(QueueFamilies, OneFamilyDoesAllWhereThereIsNoOther) {
  EXPECT_EQ(families({kAll}).compute, 0U);
  EXPECT_EQ(families({kAll}).transfer, std::nullopt);
  // A second family for compute is no copy engine.
  EXPECT_EQ(families({kAll, VK_QUEUE_COMPUTE_BIT | VK_QUEUE_TRANSFER_BIT}).transfer, std::nullopt);
  EXPECT_EQ(families({VK_QUEUE_GRAPHICS_BIT, VK_QUEUE_TRANSFER_BIT}).compute, std::nullopt);
  EXPECT_EQ(families({}).compute, std::nullopt);
}

TEST(GpuChoice, AutomaticallyNoProcessorThatPlaysAGpu) {
  EXPECT_EQ(chosen(kMachine, {.only_hardware = true}), 4U);
  EXPECT_EQ(chosen(std::span(kMachine).first(2), {.only_hardware = true}), 1U);
  EXPECT_THAT(
      refusal(std::span(kMachine).first(1), {.only_hardware = true}),
      HasSubstr("no Vulkan device but processors that play one that hearth can run on (0: llvmpipe (LLVM 19))"));
}

TEST(GpuChoice, OfOneKindTheOneWithMostMemory) {
  std::vector<GpuProperties> two = {gpu("small", VK_PHYSICAL_DEVICE_TYPE_DISCRETE_GPU),
                                    gpu("large", VK_PHYSICAL_DEVICE_TYPE_DISCRETE_GPU)};
  two[0].heaps = {{.bytes = 8ULL << 30, .device_local = true}, {.bytes = 64ULL << 30, .device_local = false}};
  two[1].heaps = {{.bytes = 24ULL << 30, .device_local = true}};
  EXPECT_EQ(chosen(two, {}), 1U);
}

}  // namespace
}  // namespace hearth::vulkan
