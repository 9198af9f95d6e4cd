// Where a GPU's buffers lie: an integrated GPU uses both heaps of the one memory, and never more than the host has.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/free_memory.h"
#include "device/vulkan/memory/memory.h"
#include "device/vulkan/testing/device_fixture.h"
#include "device/vulkan/testing/pretended_apu.h"

namespace hearth::vulkan {
namespace {

using testing::HasSubstr;

constexpr uint64_t kMiB = 1 << 20;

class HeapsTest : public testing::Test {
 protected:
  void open(uint64_t device_bytes, uint64_t host_bytes) {
    const auto missing = Gpu::list();
    if (!missing || missing->empty()) GTEST_SKIP() << "no Vulkan device";
    // Everything is allocated of the real one's first type, which must be as the pretended ones.
    const auto real = Gpu::open({});
    ASSERT_TRUE(real) << to_string(real.error());
    const auto flags = (*real)->memory().memoryTypes[0].propertyFlags;
    if ((flags & VK_MEMORY_PROPERTY_HOST_VISIBLE_BIT) == 0) GTEST_SKIP() << "its first memory cannot be mapped";
    apu_.emplace(device_bytes, host_bytes);
    auto gpu = Gpu::open({.wrap = PretendedApu::wrap});
    ASSERT_TRUE(gpu) << to_string(gpu.error());
    gpu_ = std::move(*gpu);
    ASSERT_TRUE(gpu_->properties().one_memory);
  }

  Result<Buffer> make(uint64_t mebibytes, Placement placement = Placement::device) {
    return Buffer::create(*gpu_, mebibytes * kMiB, placement, MemoryOwner::weights);
  }

  std::optional<PretendedApu> apu_;
  std::unique_ptr<Gpu> gpu_;
};

TEST_F(HeapsTest, BuffersGoOnInTheHostsHeapAndStayMapped) {
  ASSERT_NO_FATAL_FAILURE(open(20 * kMiB, 10 * kMiB));
  if (IsSkipped()) return;
  EXPECT_EQ(device_memory(*gpu_).free_bytes, 30 * kMiB);
  std::vector<Buffer> buffers;
  for (int i = 0; i < 3; ++i) {
    auto buffer = make(9);
    ASSERT_TRUE(buffer) << to_string(buffer.error());
    EXPECT_NE(buffer->mapped(), nullptr);
    buffers.push_back(std::move(*buffer));
  }
  EXPECT_GE(pretended_heaps.used[0], 18 * kMiB);
  EXPECT_GE(pretended_heaps.used[1], 9 * kMiB);
  EXPECT_LE(*device_memory(*gpu_).free_bytes, 3 * kMiB);

  const auto refused = make(9);
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, ErrorCode::out_of_memory);
  EXPECT_THAT(refused.error().message, HasSubstr("9.4 MB of memory where"));
  buffers.erase(buffers.begin());
  EXPECT_TRUE(make(9)) << "room in the first heap again";
}

TEST_F(HeapsTest, AHeapThatPromisesMoreThanTheHostHasIsNotBelieved) {
  const uint64_t free = free_memory_bytes();
  ASSERT_NO_FATAL_FAILURE(open(4 * free, 2 * free));
  if (IsSkipped()) return;
  EXPECT_LE(*device_memory(*gpu_).free_bytes, free + free / 8) << "others' memory comes and goes";
  const auto refused = Buffer::create(*gpu_, 2 * free, Placement::device, MemoryOwner::weights);
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, ErrorCode::out_of_memory);
}

}  // namespace
}  // namespace hearth::vulkan
