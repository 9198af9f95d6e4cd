#include "engine/cache/block_pool.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <deque>
#include <map>
#include <random>

namespace hearth {
namespace {

BlockHash hash_of(uint64_t name) { return {name, ~name}; }

TEST(BlockPool, GivesEachBlockOnceAndThenNothing) {
  BlockPool pool(3);
  std::vector<int32_t> blocks;
  while (auto block = pool.allocate()) blocks.push_back(*block);
  std::ranges::sort(blocks);
  EXPECT_EQ(blocks, (std::vector<int32_t>{0, 1, 2}));
  EXPECT_EQ(pool.free_count(), 0U);
  EXPECT_TRUE(pool.check_integrity());
}

TEST(BlockPool, KeepsHashedBlocksUntilTheOldestMustGo) {
  BlockPool pool(3);
  const int32_t a = *pool.allocate(), b = *pool.allocate(), c = *pool.allocate();
  pool.publish(a, hash_of(1));
  pool.publish(b, hash_of(2));
  pool.release(b);
  pool.release(a);
  pool.release(c);

  EXPECT_EQ(*pool.allocate(), c) << "what holds nothing known goes first";
  EXPECT_EQ(*pool.allocate(), b) << "then what was released first";
  EXPECT_FALSE(pool.find(hash_of(2)));
  EXPECT_EQ(pool.find(hash_of(1)), a);
  pool.acquire(a);
  EXPECT_FALSE(pool.allocate()) << "a block in use is never given away";
  EXPECT_EQ(pool.find(hash_of(1)), a);
  EXPECT_TRUE(pool.check_integrity());
}

TEST(BlockPool, SharesABlockUntilItsLastUserReleasesIt) {
  BlockPool pool(1);
  const int32_t block = *pool.allocate();
  pool.publish(block, hash_of(1));
  pool.acquire(block);
  pool.release(block);
  EXPECT_EQ(pool.free_count(), 0U);
  pool.release(block);
  EXPECT_EQ(pool.free_count(), 1U);
}

TEST(BlockPool, TheFirstBlockOfAHashKeepsIt) {
  BlockPool pool(2);
  const int32_t first = *pool.allocate(), second = *pool.allocate();
  pool.publish(first, hash_of(1));
  pool.publish(second, hash_of(1));
  pool.release(second);
  EXPECT_EQ(pool.find(hash_of(1)), first);
  EXPECT_TRUE(pool.check_integrity());
}

// The oracle keeps the same rules with plain containers.
TEST(BlockPool, BehavesAsItsModelUnderRandomUse) {
  constexpr int kBlocks = 12;
  BlockPool pool(kBlocks);
  std::deque<int32_t> free;
  std::map<int32_t, int> references;
  std::map<uint64_t, int32_t> by_hash;
  for (int block = 0; block < kBlocks; ++block) free.push_back(block);
  auto forget = [&](int32_t block) { std::erase_if(by_hash, [&](auto& entry) { return entry.second == block; }); };
  auto is_hashed = [&](int32_t block) {
    return std::ranges::any_of(by_hash, [&](auto& entry) { return entry.second == block; });
  };

  std::mt19937 random(1);
  for (int i = 0; i < 20000; ++i) {
    const uint64_t name = random() % 30;
    const auto used =
        references.empty() ? references.end() : std::next(references.begin(), random() % references.size());
    switch (random() % 4) {
      case 0: {
        const auto block = pool.allocate();
        ASSERT_EQ(block.has_value(), !free.empty());
        if (!block) break;
        ASSERT_EQ(*block, free.front());
        free.pop_front();
        forget(*block);
        references[*block] = 1;
        break;
      }
      case 1: {
        if (used == references.end()) break;
        pool.release(used->first);
        if (--used->second > 0) break;
        is_hashed(used->first) ? free.push_back(used->first) : free.push_front(used->first);
        references.erase(used);
        break;
      }
      case 2: {
        const auto block = pool.find(hash_of(name));
        ASSERT_EQ(block.has_value(), by_hash.contains(name));
        if (!block) break;
        ASSERT_EQ(*block, by_hash[name]);
        pool.acquire(*block);
        if (references[*block]++ == 0) std::erase(free, *block);
        break;
      }
      default:
        if (used == references.end()) break;
        pool.publish(used->first, hash_of(name));
        if (!is_hashed(used->first)) by_hash.emplace(name, used->first);
    }
    ASSERT_EQ(pool.free_count(), free.size());
    ASSERT_TRUE(pool.check_integrity());
  }
}

}  // namespace
}  // namespace hearth
