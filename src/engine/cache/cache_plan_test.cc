#include "engine/cache/cache_plan.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "device/step.h"
#include "engine/cache/kv_cache.h"

namespace hearth {
namespace {

using testing::HasSubstr;

constexpr uint64_t kGiB = 1ULL << 30;
const CacheGroup kFull{.window = 0, .bytes_per_block = 64 << 10};
const CacheGroup kWindowed{.window = 512, .bytes_per_block = 320 << 10};

/// The host's memory, which holds all layers.
std::vector<CacheMemory> host(std::span<const CacheGroup> groups, uint64_t free_bytes) {
  CacheMemory memory = {.memory = {.free_bytes = free_bytes}, .bytes_per_block = {}, .most_layer_bytes = {}};
  for (const CacheGroup& group : groups) {
    memory.bytes_per_block.push_back(group.bytes_per_block);
    memory.most_layer_bytes.push_back(group.bytes_per_block);
  }
  return {memory};
}

Result<CachePlan> plan_on_host(std::span<const CacheGroup> groups, uint32_t context, const EngineOptions& options,
                               uint64_t free_bytes) {
  return plan_cache(groups, context, options, host(groups, free_bytes), 0);
}

uint64_t bytes_of(std::span<const CacheGroup> groups, const CachePlan& plan) {
  uint64_t bytes = 0;
  for (size_t g = 0; g < groups.size(); ++g) bytes += groups[g].bytes_per_block * plan.blocks_per_group[g];
  return bytes;
}

TEST(CachePlan, GivesEverySequenceItsWholeContextWhereMemoryAllows) {
  const EngineOptions options{.context_length = 2048, .max_sequences = 4};
  const auto plan = plan_on_host(std::array{kFull}, 4096, options, 64 * kGiB);
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
    const auto plan = plan_on_host(groups, 32768, options, 0);
    ASSERT_TRUE(plan) << to_string(plan.error());
    EXPECT_LE(plan->bytes, budget);

    auto fits = [&](uint32_t length) {
      for (size_t g = 0; g < groups.size(); ++g) {
        const uint32_t blocks = cache_blocks_needed(groups[g], 8192, options.max_batched_tokens) +
                                15 * cache_blocks_needed(groups[g], length, options.max_batched_tokens);
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
  const auto plan = plan_on_host(std::array{kFull}, 131072, options, 0);
  ASSERT_TRUE(plan);
  EXPECT_EQ(plan->context_length, 160U);
}

TEST(CachePlan, StaysWithinHalfOfTheFreeMemory) {
  const EngineOptions options{.max_sequences = 64};
  const auto plan = plan_on_host(std::array{kFull}, 131072, options, kGiB / 2);
  ASSERT_TRUE(plan);
  EXPECT_LE(plan->bytes, kGiB / 4);
  EXPECT_GT(plan->bytes, kGiB / 8);
}

TEST(CachePlan, TakesAGibibyteUnlessOneSequenceNeedsMore) {
  const EngineOptions options{.max_sequences = 64};
  EXPECT_LE(plan_on_host(std::array{kFull}, 8192, options, 64 * kGiB)->bytes, kGiB);
  const auto large = plan_on_host(std::array{kFull}, 1 << 19, options, 64 * kGiB);
  ASSERT_TRUE(large);
  EXPECT_EQ(large->context_length, 1U << 19);
  EXPECT_GE(large->bytes, 2 * kGiB);
}

TEST(CachePlan, RefusesWithNumbers) {
  const auto beyond = plan_on_host(std::array{kFull}, 4096, {.context_length = 5000}, kGiB);
  ASSERT_FALSE(beyond);
  EXPECT_EQ(beyond.error().code, ErrorCode::invalid_argument);
  EXPECT_THAT(beyond.error().message, testing::AllOf(HasSubstr("5000"), HasSubstr("4096")));

  const auto too_large =
      plan_on_host(std::array{kFull}, 1 << 20, {.context_length = 65536, .cache_bytes = kGiB / 8}, kGiB);
  ASSERT_FALSE(too_large);
  EXPECT_EQ(too_large.error().code, ErrorCode::out_of_memory);
  EXPECT_THAT(too_large.error().message, testing::AllOf(HasSubstr("256 MiB"), HasSubstr("128 MiB")));
  EXPECT_THAT(too_large.error().hint, HasSubstr("32768"));

  EXPECT_FALSE(plan_on_host(std::array{kFull}, 4096, {}, 1000));
}

/// A GPU's memory with all layers, of which there are ten.
std::vector<CacheMemory> gpu(DeviceMemory::Kind kind, uint64_t free_bytes, uint64_t largest_cache_bytes = UINT64_MAX) {
  return {{.memory = {.kind = kind, .pool = 1, .free_bytes = free_bytes, .largest_cache_bytes = largest_cache_bytes},
           .bytes_per_block = {kFull.bytes_per_block},
           .most_layer_bytes = {kFull.bytes_per_block / 10}}};
}

TEST(CachePlan, TakesWhatAGpuHasLeft) {
  const EngineOptions options{.max_sequences = 64};
  const uint64_t block = kFull.bytes_per_block;
  const auto own = plan_cache(std::array{kFull}, 131072, options, gpu(DeviceMemory::Kind::own, 24 * kGiB), 2 * kGiB);
  ASSERT_TRUE(own);
  EXPECT_LE(own->bytes, 21 * kGiB) << "2 GiB for steps and one that nobody plans with";
  EXPECT_GT(own->bytes, 21 * kGiB - 64 * block);
  const auto integrated =
      plan_cache(std::array{kFull}, 131072, options, gpu(DeviceMemory::Kind::integrated, 10 * kGiB), 0);
  ASSERT_TRUE(integrated);
  EXPECT_LE(integrated->bytes, 5 * kGiB) << "the rest is everybody's";
  EXPECT_GT(integrated->bytes, 4 * kGiB);
}

TEST(CachePlan, TakesMoreThanHalfOnlyForAContextThatWasAskedFor) {
  const uint64_t one = 8192 / kBlockTokens * kFull.bytes_per_block;
  for (const auto kind : {DeviceMemory::Kind::integrated, DeviceMemory::Kind::system}) {
    const auto memories = gpu(kind, one + one / 4);
    const auto asked = plan_cache(std::array{kFull}, 131072, {.context_length = 8192, .max_sequences = 8}, memories, 0);
    ASSERT_TRUE(asked) << to_string(asked.error());
    EXPECT_EQ(asked->context_length, 8192U);
    EXPECT_LE(asked->bytes, one + one / 4);
    const auto open = plan_cache(std::array{kFull}, 131072, {.max_sequences = 8}, memories, 0);
    ASSERT_TRUE(open);
    EXPECT_LE(open->bytes, one / 8 * 5);
    const EngineOptions beyond = {.context_length = 8192 + 4096};
    EXPECT_FALSE(plan_cache(std::array{kFull}, 131072, beyond, memories, 0));
  }
}

/// The law of how many have room: so many do, and one more does not.
TEST(CachePlan, AsManySequencesFitAsItSays) {
  const std::array groups = {kWindowed, kFull};
  const CacheGroup states{.keeps_states = true, .bytes_per_block = kGiB / 64};
  for (const uint64_t bytes : {kGiB / 4, kGiB, 3 * kGiB}) {
    for (const uint32_t tokens : {100U, 2048U, 8192U}) {
      const std::array with_states = {kWindowed, states};
      for (const std::span<const CacheGroup> each : {std::span<const CacheGroup>(groups), {with_states}}) {
        const EngineOptions options{.cache_bytes = bytes};
        const uint32_t count = sequences_that_fit(each, 8192, options, {}, 0, tokens);
        uint64_t one = 0;
        for (const CacheGroup& group : each) {
          one += cache_blocks_needed(group, tokens, options.max_batched_tokens) * group.bytes_per_block;
        }
        EXPECT_EQ(count, bytes / one) << tokens;
      }
    }
  }
}

TEST(CachePlan, TakesNoMoreThanAllSequencesCanUse) {
  const EngineOptions options{.context_length = 4096, .max_sequences = 4};
  const auto plan = plan_cache(std::array{kFull}, 4096, options, gpu(DeviceMemory::Kind::own, 64 * kGiB), 0);
  ASSERT_TRUE(plan);
  EXPECT_EQ(plan->blocks_per_group, std::vector<uint32_t>{4 * 4096 / 16});
}

TEST(CachePlan, KeepsEachLayerWithinWhatADeviceTakes) {
  const uint64_t layer_block = kFull.bytes_per_block / 10;
  const auto memories = gpu(DeviceMemory::Kind::own, 64 * kGiB, 10000 * layer_block);
  for (const uint64_t asked : {uint64_t{0}, 32 * kGiB}) {
    const EngineOptions options{.max_sequences = 64, .cache_bytes = asked};
    const auto plan = plan_cache(std::array{kFull}, 131072, options, memories, 0);
    ASSERT_TRUE(plan);
    EXPECT_LE(plan->blocks_per_group[0], 10000U);
    EXPECT_GT(plan->blocks_per_group[0], 10000U - 64U);
  }
}

TEST(CachePlan, IsBoundByTheSmallestMemoryOfASplit) {
  // A GPU with nine layers of ten and a host with one: blocks are the same on both.
  std::vector<CacheMemory> memories = gpu(DeviceMemory::Kind::own, 3 * kGiB);
  memories[0].bytes_per_block = {9 * kFull.bytes_per_block};
  memories.push_back(host(std::array{kFull}, 64 * kGiB)[0]);
  const CacheGroup both{.window = 0, .bytes_per_block = 10 * kFull.bytes_per_block};
  const auto plan = plan_cache(std::array{both}, 8192, {.max_sequences = 64}, memories, 0);
  ASSERT_TRUE(plan);
  const uint64_t on_gpu = plan->blocks_per_group[0] * memories[0].bytes_per_block[0];
  EXPECT_LE(on_gpu, 3 * kGiB * 9 / 10);
  EXPECT_GT(on_gpu, 3 * kGiB * 9 / 10 - 64 * memories[0].bytes_per_block[0]);

  memories[1].memory.free_bytes = kGiB / 64;
  const auto small = plan_cache(std::array{both}, 8192, {.max_sequences = 64}, memories, 0);
  ASSERT_TRUE(small);
  EXPECT_LE(small->blocks_per_group[0] * memories[1].bytes_per_block[0], kGiB / 128);
}

TEST(CachePlan, LetsFewerSequencesRunWhereTheirStatesWouldLeaveNoRoom) {
  const CacheGroup states{.keeps_states = true, .bytes_per_block = kGiB / 16};
  const std::array groups = {kFull, states};
  const EngineOptions options{.context_length = 8192, .max_sequences = 64, .cache_bytes = kGiB};
  const auto plan = plan_on_host(groups, 8192, options, 0);
  ASSERT_TRUE(plan);
  EXPECT_LE(plan->bytes, kGiB);
  // Two states for each of those that run, and a useful length beside the whole context: one more does not fit.
  const uint32_t sequences = plan->blocks_per_group[1] / kStatesOfSequence;
  EXPECT_GE(sequences, 2U);
  EXPECT_GE(plan->blocks_per_group[0], 8192 / 16 + (sequences - 1) * 1024 / 16);
  const uint64_t one_more = kStatesOfSequence * states.bytes_per_block + 1024 / 16 * kFull.bytes_per_block;
  EXPECT_GT((8192 / 16 + (sequences - 1) * 1024 / 16) * kFull.bytes_per_block +
                sequences * kStatesOfSequence * states.bytes_per_block + one_more,
            kGiB);

  const auto ample = plan_on_host(groups, 8192, {.context_length = 8192, .max_sequences = 4}, 64 * kGiB);
  ASSERT_TRUE(ample);
  EXPECT_EQ(ample->blocks_per_group[1], 4 * kStatesOfSequence);
}

TEST(CachePlan, WithoutAFigureOfFreeMemoryTakesTheUsual) {
  auto memories = host(std::array{kFull}, 0);
  memories[0].memory.free_bytes.reset();
  const auto plan = plan_cache(std::array{kFull}, 8192, {.max_sequences = 64}, memories, 0);
  ASSERT_TRUE(plan);
  EXPECT_LE(plan->bytes, kGiB);
  EXPECT_GT(plan->bytes, kGiB / 2);
}

}  // namespace
}  // namespace hearth
