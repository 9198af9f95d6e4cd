#include "engine/cache_plan.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "device/step.h"
#include "engine/kv_cache.h"

namespace hearth {
namespace {

using testing::HasSubstr;

constexpr uint64_t kGiB = 1ULL << 30;
const CacheGroup kFull{.window = 0, .bytes_per_block = 64 << 10};
const CacheGroup kWindowed{.window = 512, .bytes_per_block = 320 << 10};

uint64_t bytes_of(std::span<const CacheGroup> groups, const CachePlan& plan) {
  uint64_t bytes = 0;
  for (size_t g = 0; g < groups.size(); ++g) bytes += groups[g].bytes_per_block * plan.blocks_per_group[g];
  return bytes;
}

TEST(CachePlan, GivesEverySequenceItsWholeContextWhereMemoryAllows) {
  const EngineOptions options{.context_length = 2048, .max_sequences = 4};
  const auto plan = plan_cache(std::array{kFull}, 4096, options, 64 * kGiB);
  ASSERT_TRUE(plan);
  EXPECT_EQ(plan->context_length, 2048U);
  EXPECT_EQ(plan->blocks_per_group, std::vector<uint32_t>{4 * 2048 / 16});
  EXPECT_EQ(plan->bytes, bytes_of(std::array{kFull}, *plan));
}

// The law: one sequence of the whole context and max_sequences - 1 of one length fit at once, and no longer length
// does.
TEST(CachePlan, SharesMemoryAmongGroupsByTheSameLength) {
  const std::array groups = {kWindowed, kFull};
  for (const uint64_t budget : {kGiB / 4, kGiB / 2, kGiB, 3 * kGiB}) {
    const EngineOptions options{.context_length = 8192, .max_sequences = 16, .cache_bytes = budget};
    const auto plan = plan_cache(groups, 32768, options, 0);
    ASSERT_TRUE(plan) << to_string(plan.error());
    EXPECT_LE(plan->bytes, budget);

    auto fits = [&](uint32_t length) {
      for (size_t g = 0; g < groups.size(); ++g) {
        const uint32_t blocks = KvCache::blocks_needed(groups[g], 8192, options.max_batched_tokens) +
                                15 * KvCache::blocks_needed(groups[g], length, options.max_batched_tokens);
        if (blocks > plan->blocks_per_group[g]) return false;
      }
      return true;
    };
    uint32_t length = 0;
    while (length < 8192 && fits(length + kBlockTokens)) length += kBlockTokens;
    EXPECT_EQ(plan->bytes, bytes_of(groups, *plan));
    EXPECT_TRUE(length == 8192 || plan->bytes + 15 * (kFull.bytes_per_block + kWindowed.bytes_per_block) > budget)
        << "room for another block each was left at length " << length;
  }
}

TEST(CachePlan, ShortensTheContextToWhatFits) {
  const EngineOptions options{.max_sequences = 8, .cache_bytes = 10 * kFull.bytes_per_block};
  const auto plan = plan_cache(std::array{kFull}, 131072, options, 0);
  ASSERT_TRUE(plan);
  EXPECT_EQ(plan->context_length, 160U);
}

TEST(CachePlan, StaysWithinHalfOfTheFreeMemory) {
  const EngineOptions options{.max_sequences = 64};
  const auto plan = plan_cache(std::array{kFull}, 131072, options, kGiB / 2);
  ASSERT_TRUE(plan);
  EXPECT_LE(plan->bytes, kGiB / 4);
  EXPECT_GT(plan->bytes, kGiB / 8);
}

TEST(CachePlan, TakesAGibibyteUnlessOneSequenceNeedsMore) {
  const EngineOptions options{.max_sequences = 64};
  EXPECT_LE(plan_cache(std::array{kFull}, 8192, options, 64 * kGiB)->bytes, kGiB);
  const auto large = plan_cache(std::array{kFull}, 1 << 19, options, 64 * kGiB);
  ASSERT_TRUE(large);
  EXPECT_EQ(large->context_length, 1U << 19);
  EXPECT_GE(large->bytes, 2 * kGiB);
}

TEST(CachePlan, RefusesWithNumbers) {
  const auto beyond = plan_cache(std::array{kFull}, 4096, {.context_length = 5000}, kGiB);
  ASSERT_FALSE(beyond);
  EXPECT_EQ(beyond.error().code, ErrorCode::invalid_argument);
  EXPECT_THAT(beyond.error().message, testing::AllOf(HasSubstr("5000"), HasSubstr("4096")));

  const auto too_large =
      plan_cache(std::array{kFull}, 1 << 20, {.context_length = 65536, .cache_bytes = kGiB / 8}, kGiB);
  ASSERT_FALSE(too_large);
  EXPECT_EQ(too_large.error().code, ErrorCode::out_of_memory);
  EXPECT_THAT(too_large.error().message, testing::AllOf(HasSubstr("256 MiB"), HasSubstr("128 MiB")));
  EXPECT_THAT(too_large.error().hint, HasSubstr("32768"));

  EXPECT_FALSE(plan_cache(std::array{kFull}, 4096, {}, 1000));
}

}  // namespace
}  // namespace hearth
