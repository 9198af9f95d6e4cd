#include "engine/cache/kv_cache.h"

#include <gtest/gtest.h>

#include <numeric>

#include "device/step.h"

namespace hearth {
namespace {

constexpr HashKey kKey = {1, 2};

std::vector<BlockHash> chain(uint32_t blocks, int32_t first_token = 0) {
  std::vector<BlockHash> hashes;
  BlockHash parent = root_hash(kKey, "");
  for (uint32_t block = 0; block < blocks; ++block) {
    std::vector<int32_t> tokens(kBlockTokens, first_token + static_cast<int32_t>(block));
    hashes.push_back(parent = next_hash(kKey, parent, tokens));
  }
  return hashes;
}

/// Computes `tokens` of a sequence in steps of `step` and returns its blocks.
SequenceBlocks compute(KvCache& cache, std::span<const BlockHash> hashes, uint32_t tokens, uint32_t step) {
  SequenceBlocks blocks;
  for (uint32_t done = 0; done < tokens;) {
    const uint32_t end = std::min(done + step, tokens);
    EXPECT_TRUE(cache.grow(blocks, {.context_tokens = done, .end_tokens = end}));
    cache.publish(blocks, hashes, end, tokens);
    done = end;
  }
  return blocks;
}

TEST(KvCache, FindsTheLongestPrefixThatIsStillThere) {
  const CacheGroup full{};
  KvCache cache({{full}}, {{16}});
  const auto hashes = chain(6);
  SequenceBlocks first = compute(cache, hashes, 6 * kBlockTokens, 40);

  EXPECT_EQ(cache.cached_prefix(hashes, 1000), 6 * kBlockTokens);
  EXPECT_EQ(cache.cached_prefix(hashes, 6 * kBlockTokens - 1), 5 * kBlockTokens) << "whole blocks below the limit";
  EXPECT_EQ(cache.cached_prefix(chain(6, 50), 1000), 0U);

  SequenceBlocks second;
  cache.adopt_prefix(second, hashes, 4 * kBlockTokens);
  EXPECT_TRUE(std::equal(second.tables[0].begin(), second.tables[0].end(), first.tables[0].begin())) << "shared";
  EXPECT_EQ(cache.pools()[0].used_count(), 6U);
  cache.release(first);
  EXPECT_EQ(cache.pools()[0].used_count(), 4U);
  cache.release(second);
  EXPECT_TRUE(cache.check_integrity(true));
  EXPECT_EQ(cache.cached_prefix(hashes, 1000), 6 * kBlockTokens) << "what is free is still known";
}

TEST(KvCache, ForgetsTheEndOfAPrefixFirst) {
  KvCache cache({{CacheGroup{}}}, {{6}});
  const auto hashes = chain(6);
  SequenceBlocks first = compute(cache, hashes, 6 * kBlockTokens, 96);
  cache.release(first);
  SequenceBlocks other = compute(cache, chain(2, 70), 2 * kBlockTokens, 96);
  EXPECT_EQ(cache.cached_prefix(hashes, 1000), 4 * kBlockTokens);
}

TEST(KvCache, KeepsOnlyTheWindow) {
  const CacheGroup windowed{.window = 20};
  KvCache cache({{windowed}}, {{64}});
  const uint32_t step = 10;
  SequenceBlocks blocks;
  const auto hashes = chain(40);
  for (uint32_t done = 0; done < 500; done += step) {
    ASSERT_TRUE(cache.grow(blocks, {.context_tokens = done, .end_tokens = done + step}));
    ASSERT_LE(cache.pools()[0].used_count(), cache_blocks_needed(windowed, 500, step));
    const std::vector<int32_t>& table = blocks.tables[0];
    ASSERT_GE(table.size() * kBlockTokens, done + step);
    for (uint32_t position = 0; position < done + step; ++position) {
      const bool seen = position + windowed.window > done;
      ASSERT_TRUE(!seen || table[position / kBlockTokens] != SequenceBlocks::kNoBlock) << position << " at " << done;
    }
    cache.publish(blocks, hashes, done + step, 500);
  }
  cache.release(blocks);
  EXPECT_TRUE(cache.check_integrity(true));
}

TEST(KvCache, AWindowedGroupNeedsOnlyTheLastWindowForAHit) {
  const CacheGroup groups[] = {{.window = 0}, {.window = 20}};
  const auto hashes = chain(10);
  // Too few windowed blocks to remember all ten.
  KvCache cache(groups, {{32, 5}});
  SequenceBlocks blocks = compute(cache, hashes, 10 * kBlockTokens, kBlockTokens);
  cache.release(blocks);
  const uint32_t hit = cache.cached_prefix(hashes, 1000);
  ASSERT_GT(hit, 0U);

  SequenceBlocks again;
  cache.adopt_prefix(again, hashes, hit);
  EXPECT_EQ(again.tables[0].size(), hit / kBlockTokens);
  EXPECT_EQ(again.tables[1].size(), hit / kBlockTokens);
  for (uint32_t position = 0; position < hit; ++position) {
    EXPECT_NE(again.tables[0][position / kBlockTokens], SequenceBlocks::kNoBlock);
    EXPECT_TRUE(position + 20 <= hit || again.tables[1][position / kBlockTokens] != SequenceBlocks::kNoBlock);
  }
  cache.release(again);
  EXPECT_TRUE(cache.check_integrity(true));
}

// Oracle: try every end, longest first, and look whether all that the next token sees is there.
TEST(KvCache, HitsAgreeWithTryingEveryEnd) {
  const CacheGroup groups[] = {{.window = 33}, {.window = 16}, {.window = 70}};
  const auto hashes = chain(12);
  for (uint32_t lost = 0; lost < 12 * 12 * 12; ++lost) {
    KvCache cache(groups, {{24, 24, 24}});
    const uint32_t missing[] = {lost % 12, lost / 12 % 12, lost / 144};
    SequenceBlocks blocks;
    ASSERT_TRUE(cache.grow(blocks, {.end_tokens = 12 * kBlockTokens}));
    std::vector<std::vector<bool>> there(3, std::vector<bool>(12, true));
    for (size_t g = 0; g < 3; ++g) {
      there[g][missing[g]] = false;
      auto& pool = const_cast<BlockPool&>(cache.pools()[g]);
      for (uint32_t block = 0; block < 12; ++block) {
        if (there[g][block]) pool.publish(blocks.tables[g][block], hashes[block]);
      }
    }
    uint32_t expected = 12;
    auto hit = [&](uint32_t end) {
      for (size_t g = 0; g < 3; ++g) {
        for (uint32_t position = 0; position < end * kBlockTokens; ++position) {
          const bool seen = position + groups[g].window > end * kBlockTokens;
          if (seen && !there[g][position / kBlockTokens]) return false;
        }
      }
      return true;
    };
    while (!hit(expected)) --expected;
    ASSERT_EQ(cache.cached_prefix(hashes, 1000), expected * kBlockTokens) << lost;
  }
}

TEST(KvCache, GrowsInEveryGroupOrInNone) {
  const CacheGroup groups[] = {{.window = 0}, {.window = 0}};
  KvCache cache(groups, {{8, 4}});
  SequenceBlocks blocks;
  EXPECT_FALSE(cache.grow(blocks, {.end_tokens = 5 * kBlockTokens}));
  EXPECT_EQ(cache.pools()[0].used_count(), 0U);
  EXPECT_TRUE(cache.grow(blocks, {.end_tokens = kBlockTokens, .reserved_tokens = 3 * kBlockTokens}));
  EXPECT_EQ(cache.pools()[0].used_count(), 3U) << "the reservation too";
  EXPECT_TRUE(cache.has_room(blocks, 4 * kBlockTokens, 512, 0));
  EXPECT_FALSE(cache.has_room(blocks, 4 * kBlockTokens, 512, 1));
}

}  // namespace
}  // namespace hearth
