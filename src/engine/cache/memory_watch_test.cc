#include "engine/cache/memory_watch.h"

#include <gtest/gtest.h>

namespace hearth {
namespace {

constexpr uint64_t kMiB = 1 << 20;

/// A memory in which each block of the only group takes a MiB.
CacheMemory memory(uint64_t free_mebibytes, uint64_t overused_mebibytes = 0, uint64_t block_mebibytes = 1) {
  return {.memory = {.kind = DeviceMemory::Kind::own,
                     .free_bytes = free_mebibytes * kMiB,
                     .overused_bytes = overused_mebibytes * kMiB},
          .bytes_per_block = {block_mebibytes * kMiB},
          .most_layer_bytes = {block_mebibytes * kMiB}};
}

using Memories = std::vector<CacheMemory>;
using std::chrono::seconds;

constexpr MemoryWatch::TimePoint kBegin{};
constexpr seconds kInterval(1);
using Blocks = std::vector<uint32_t>;

TEST(MemoryWatch, SaysNothingAsLongAsSomethingOfWhatWasLeftIsFree) {
  MemoryWatch watch(Memories{memory(1024)}, {1000}, kInterval);
  for (int i = 0; i < 2 * MemoryWatch::kCalmIntervals; ++i) {
    EXPECT_FALSE(watch.look(Memories{memory(i % 2 == 0 ? 130 : 5000)}, Blocks{1000}, kBegin + seconds(i)));
  }
}

TEST(MemoryWatch, MemoryMustBeScarceTwiceInARow) {
  MemoryWatch watch(Memories{memory(1024)}, {1000}, kInterval);
  for (int i = 0; i < 10; ++i) {
    EXPECT_FALSE(watch.look(Memories{memory(i % 2 == 0 ? 0 : 500)}, Blocks{1000}, kBegin + seconds(i)));
  }
  EXPECT_FALSE(watch.look(Memories{memory(0)}, Blocks{1000}, kBegin + seconds(10)));
  EXPECT_TRUE(watch.look(Memories{memory(0)}, Blocks{1000}, kBegin + seconds(11)));
}

std::optional<MemoryWatch::Advice> advice_on(const Memories& at_start, const Memories& now, const Blocks& blocks) {
  MemoryWatch watch(at_start, blocks, kInterval);
  watch.look(now, blocks, kBegin);
  return watch.look(now, blocks, kBegin + seconds(1));
}

TEST(MemoryWatch, AnEighthGoesWhereNothingTellsHowMuchIsMissing) {
  const auto advice = advice_on({memory(1024)}, {memory(0)}, {4096});
  ASSERT_TRUE(advice);
  EXPECT_EQ(advice->missing_bytes, 128 * kMiB);
  EXPECT_EQ(advice->cache_bytes, 3584 * kMiB);
}

TEST(MemoryWatch, WhatIsOverusedGoesAndSomeMore) {
  const auto advice = advice_on({memory(1024)}, {memory(0, 1000)}, {4096});
  ASSERT_TRUE(advice);
  EXPECT_EQ(advice->missing_bytes, 1128 * kMiB);
  EXPECT_EQ(advice->cache_bytes, (4096 - 1128 - 128) * kMiB);
  EXPECT_EQ(advice_on({memory(1024)}, {memory(0, 9000)}, {4096})->cache_bytes, 0U) << "all that there is";
}

TEST(MemoryWatch, TheScarcestMemoryCounts) {
  // The second holds two of three bytes of the cache.
  const Memories start = {memory(1024), memory(1024, 0, 2)};
  const auto advice = advice_on(start, {memory(0), memory(0, 896, 2)}, {1024});
  ASSERT_TRUE(advice);
  EXPECT_EQ(advice->memory, 1U);
  EXPECT_EQ(advice->cache_bytes, 3 * 1024 * kMiB * 7 / 16);
}

TEST(MemoryWatch, AMemoryWithoutCacheIsToldOfToo) {
  const auto advice = advice_on({memory(1024), memory(1024, 0, 0)}, {memory(1024), memory(0, 10, 0)}, {100});
  ASSERT_TRUE(advice);
  EXPECT_EQ(advice->memory, 1U);
  EXPECT_EQ(advice->missing_bytes, 138 * kMiB);
  EXPECT_EQ(advice->cache_bytes, 100 * kMiB);
}

TEST(MemoryWatch, ItGrowsOnceThereWasRoomForLong) {
  MemoryWatch watch(Memories{memory(1024)}, {1000}, kInterval);
  int second = 0;
  const auto look = [&](uint64_t free) {
    return watch.look(Memories{memory(free)}, Blocks{600}, kBegin + seconds(second++));
  };
  for (int i = 0; i < 3 * MemoryWatch::kCalmIntervals; ++i) EXPECT_FALSE(look(i % 50 == 0 ? 655 : 656));
  for (int i = 0; i < 3 * MemoryWatch::kCalmIntervals; ++i) EXPECT_FALSE(look(655)) << "less than it takes";
  for (int i = 0; i < MemoryWatch::kCalmIntervals; ++i) EXPECT_FALSE(look(656));
  const auto advice = look(656);
  ASSERT_TRUE(advice);
  EXPECT_EQ(advice->missing_bytes, 0U);
  for (int i = MemoryWatch::kCalmIntervals + 1; i < MemoryWatch::kLongCalmIntervals; ++i) {
    EXPECT_FALSE(look(656)->was_calm_for_long);
  }
  EXPECT_TRUE(look(656)->was_calm_for_long);
}

// Steps may be long: time counts, however rarely it is looked.
TEST(MemoryWatch, RareLooksAreNoReasonToStaySmall) {
  MemoryWatch watch(Memories{memory(1024)}, {1000}, kInterval);
  const auto look_at = [&](int second) {
    return watch.look(Memories{memory(656)}, Blocks{600}, kBegin + seconds(second));
  };
  EXPECT_FALSE(look_at(0));
  EXPECT_FALSE(look_at(50));
  EXPECT_TRUE(look_at(100));
  EXPECT_TRUE(look_at(301)->was_calm_for_long);
}

TEST(MemoryWatch, WhereNobodyKnowsNothingIsScarce) {
  CacheMemory unknown = memory(0);
  unknown.memory.free_bytes.reset();
  EXPECT_FALSE(advice_on({unknown}, {unknown}, {1000}));
}

}  // namespace
}  // namespace hearth
