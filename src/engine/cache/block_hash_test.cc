#include "engine/cache/block_hash.h"

#include <gtest/gtest.h>

#include <cstring>
#include <unordered_set>
#include <vector>

#include "device/step.h"

namespace hearth {
namespace {

// The vectors that the authors of SipHash publish: key 00 01 .. 0f, input 00 01 .. of the given length.
TEST(BlockHash, SipHashGivesThePublishedVectors) {
  const HashKey key = {0x0706050403020100, 0x0f0e0d0c0b0a0908};
  auto digest = [&](size_t length) {
    std::vector<std::byte> input(length);
    for (size_t i = 0; i < length; ++i) input[i] = std::byte(i);
    const BlockHash hash = siphash128(key, input);
    std::array<uint8_t, 16> bytes;
    std::memcpy(bytes.data(), &hash, 16);
    return bytes;
  };
  EXPECT_EQ(digest(0), (std::array<uint8_t, 16>{0xa3, 0x81, 0x7f, 0x04, 0xba, 0x25, 0xa8, 0xe6, 0x6d, 0xf6, 0x72, 0x14,
                                                0xc7, 0x55, 0x02, 0x93}));
  EXPECT_EQ(digest(1), (std::array<uint8_t, 16>{0xda, 0x87, 0xc1, 0xd8, 0x6b, 0x99, 0xaf, 0x44, 0x34, 0x76, 0x59, 0x11,
                                                0x9b, 0x22, 0xfc, 0x45}));
}

TEST(BlockHash, ChangesWithParentTokensSaltAndKey) {
  const HashKey key = {1, 2};
  std::vector<int32_t> tokens(kBlockTokens, 7);
  std::unordered_set<BlockHash, BlockHashHasher> seen;
  EXPECT_TRUE(seen.insert(root_hash(key, "")).second);
  EXPECT_TRUE(seen.insert(root_hash(key, "salt")).second);
  EXPECT_TRUE(seen.insert(root_hash({1, 3}, "")).second);
  EXPECT_TRUE(seen.insert(next_hash(key, root_hash(key, ""), tokens)).second);
  EXPECT_TRUE(seen.insert(next_hash(key, root_hash(key, "salt"), tokens)).second);
  EXPECT_TRUE(seen.insert(next_hash(key, next_hash(key, root_hash(key, ""), tokens), tokens)).second);
  for (uint32_t i = 0; i < kBlockTokens; ++i) {
    tokens[i] = 8;
    EXPECT_TRUE(seen.insert(next_hash(key, root_hash(key, ""), tokens)).second) << "token " << i;
    tokens[i] = 7;
  }
  EXPECT_EQ(next_hash(key, root_hash(key, ""), tokens), next_hash(key, root_hash(key, ""), tokens));
}

}  // namespace
}  // namespace hearth
