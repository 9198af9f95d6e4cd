// The pool of staging buffers: sizes that suit the device, reuse, limits, and what it tells about itself.

#include "device/vulkan/memory/buffer_pool.h"

#include <gtest/gtest.h>

#include "device/vulkan/testing/test_model.h"

namespace hearth::vulkan {
namespace {

constexpr uint64_t kKiB = 1024;
constexpr uint64_t kMiB = 1024 * kKiB;
constexpr uint64_t kGiB = 1024 * kMiB;

uint64_t total(const std::vector<BufferPool::Size>& sizes) {
  uint64_t sum = 0;
  for (const BufferPool::Size& size : sizes) sum += size.bytes * size.count;
  return sum;
}

TEST(BufferPoolSizes, ScaleWithTheDevice) {
  const auto large = BufferPool::sizes_for(24 * kGiB);
  ASSERT_EQ(large.size(), 3U);
  EXPECT_EQ(large[0].bytes * large[0].count, 32 * kMiB);
  EXPECT_EQ(large[1].bytes * large[1].count, 256 * kMiB);
  EXPECT_EQ(large[2].bytes, 256 * kMiB);
  EXPECT_EQ(large[2].count, 8U);
  for (const uint64_t bytes : {16 * kGiB, 8 * kGiB, 4 * kGiB, 2 * kGiB}) {
    const auto sizes = BufferPool::sizes_for(bytes);
    EXPECT_LE(total(sizes), bytes / 8) << bytes;
    EXPECT_EQ(sizes[1].bytes, 16 * kMiB) << bytes;
    EXPECT_LT(sizes[1].bytes, sizes[2].bytes) << bytes;
  }
}

class BufferPoolTest : public testing::Test {
 protected:
  void SetUp() override {
    auto opened = Gpu::open({.validation = std::getenv("HEARTH_VULKAN_VALIDATION") != nullptr});
    if (!opened && may_be_missing(opened.error())) GTEST_SKIP() << to_string(opened.error());
    ASSERT_TRUE(opened) << to_string(opened.error());
    gpu_ = std::move(*opened);
  }

  std::unique_ptr<Gpu> gpu_;
  const std::vector<BufferPool::Size> sizes_ = {{4 * kKiB, 2}, {64 * kKiB, 1}};
};

TEST_F(BufferPoolTest, ReusesABufferThatCameBack) {
  BufferPool pool(*gpu_, sizes_);
  VkBuffer first = VK_NULL_HANDLE;
  {
    const auto lease = pool.take(100);
    ASSERT_TRUE(lease) << to_string(lease.error());
    EXPECT_EQ(lease->buffer().bytes(), 4 * kKiB);
    ASSERT_NE(lease->buffer().mapped(), nullptr);
    first = lease->buffer().handle();
  }
  EXPECT_EQ(pool.take(200)->buffer().handle(), first);
  const auto statistics = pool.statistics();
  EXPECT_EQ(statistics[0].allocated, 1U);
  EXPECT_EQ(statistics[0].in_use, 0U);
  EXPECT_EQ(statistics[0].most_in_use, 1U);
  EXPECT_EQ(statistics[0].taken, 2U);
  EXPECT_EQ(statistics[1].allocated, 0U);
}

TEST_F(BufferPoolTest, TakesALargerOneWhenTheSmallAreInUseAndRefusesWhenAllAre) {
  BufferPool pool(*gpu_, sizes_);
  auto a = pool.take(1), b = pool.take(1), c = pool.take(1);
  ASSERT_TRUE(a && b && c);
  EXPECT_EQ(c->buffer().bytes(), 64 * kKiB);
  auto refused = pool.take(1);
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, ErrorCode::out_of_memory);
  *a = {};
  EXPECT_TRUE(pool.take(1));
  EXPECT_FALSE(pool.take(65 * kKiB)) << "larger than any";
}

TEST_F(BufferPoolTest, TrimFreesOnlyWhatIsNotInUse) {
  BufferPool pool(*gpu_, sizes_);
  auto held = pool.take(1);
  ASSERT_TRUE(held);
  pool.take(1).value();
  EXPECT_EQ(pool.statistics()[0].allocated, 2U);
  pool.trim();
  EXPECT_EQ(pool.statistics()[0].allocated, 1U);
  held->buffer().mapped()[0] = std::byte{1};  // still there
  *held = {};
  pool.trim();
  EXPECT_EQ(pool.statistics()[0].allocated, 0U);
  EXPECT_TRUE(pool.take(1));
}

}  // namespace
}  // namespace hearth::vulkan
