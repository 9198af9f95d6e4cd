#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <unordered_map>
#include <vector>

#include "base/result.h"
#include "engine/cache/block_hash.h"

namespace hearth {

/// The KV blocks of one cache group: who uses them, and what the unused ones still remember.
///
/// A block that nobody refers to stays in a queue; one whose contents are known by a hash keeps them until the queue
/// comes round to it, so that a later sequence with the same prefix takes it as it is. Blocks without a hash are taken
/// first, hashed ones by the time of their release, oldest first. For one thread.
class BlockPool {
 public:
  explicit BlockPool(uint32_t block_count);

  uint32_t size() const { return static_cast<uint32_t>(blocks_.size()); }
  uint32_t free_count() const { return free_count_; }  ///< blocks that allocate could give
  uint32_t used_count() const { return size() - free_count_; }

  /// A block of undefined contents with one reference, or nothing when all are in use. Forgets what it held.
  std::optional<int32_t> allocate();

  /// The block that holds what `hash` names, whether in use or not.
  std::optional<int32_t> find(const BlockHash& hash) const;

  /// One more reference to a block that find returned.
  void acquire(int32_t block);

  /// One reference less; the last one makes the block free.
  void release(int32_t block);

  /// From now on find(hash) gives this block, unless another block already holds the same.
  void publish(int32_t block, const BlockHash& hash);

  /// What the block holds can no longer be found; if nobody refers to it, it is the next to be taken.
  void forget(int32_t block);

  uint32_t references(int32_t block) const { return blocks_[block].references; }

  /// Errors: internal, naming what does not add up in the queue, the counts or the hashes.
  Result<void> check_integrity() const;

 private:
  static constexpr int32_t kNone = -1;

  struct Block {
    uint32_t references = 0;
    int32_t previous = kNone;  ///< in the queue of free blocks
    int32_t next = kNone;
    std::optional<BlockHash> hash;
  };

  void push_front(int32_t block);
  void push_back(int32_t block);
  void unlink(int32_t block);

  std::vector<Block> blocks_;
  int32_t first_ = kNone;
  int32_t last_ = kNone;
  uint32_t free_count_ = 0;
  std::unordered_map<BlockHash, int32_t, BlockHashHasher> by_hash_;
};

}  // namespace hearth
