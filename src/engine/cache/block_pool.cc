#include "engine/cache/block_pool.h"

#include <fmt/format.h>

namespace hearth {

BlockPool::BlockPool(uint32_t block_count) : blocks_(block_count) {
  for (uint32_t block = 0; block < block_count; ++block) push_back(static_cast<int32_t>(block));
}

std::optional<int32_t> BlockPool::allocate() {
  if (first_ == kNone) return std::nullopt;
  const int32_t index = first_;
  Block& block = blocks_[index];
  unlink(index);
  if (block.hash) {
    by_hash_.erase(*block.hash);
    block.hash.reset();
  }
  block.references = 1;
  return index;
}

std::optional<int32_t> BlockPool::find(const BlockHash& hash) const {
  const auto found = by_hash_.find(hash);
  if (found == by_hash_.end()) return std::nullopt;
  return found->second;
}

void BlockPool::acquire(int32_t block) {
  if (blocks_[block].references++ == 0) unlink(block);
}

void BlockPool::release(int32_t block) {
  if (--blocks_[block].references > 0) return;
  if (blocks_[block].hash) {
    push_back(block);
  } else {
    push_front(block);
  }
}

void BlockPool::publish(int32_t block, const BlockHash& hash) {
  if (blocks_[block].hash || !by_hash_.emplace(hash, block).second) return;
  blocks_[block].hash = hash;
}

void BlockPool::forget(int32_t block) {
  if (!blocks_[block].hash) return;
  by_hash_.erase(*blocks_[block].hash);
  blocks_[block].hash.reset();
  if (blocks_[block].references > 0) return;
  unlink(block);
  push_front(block);
}

void BlockPool::push_front(int32_t block) {
  blocks_[block].previous = kNone;
  blocks_[block].next = first_;
  (first_ == kNone ? last_ : blocks_[first_].previous) = block;
  first_ = block;
  ++free_count_;
}

void BlockPool::push_back(int32_t block) {
  blocks_[block].previous = last_;
  blocks_[block].next = kNone;
  (last_ == kNone ? first_ : blocks_[last_].next) = block;
  last_ = block;
  ++free_count_;
}

void BlockPool::unlink(int32_t block) {
  const auto [references, previous, next, hash] = blocks_[block];
  (previous == kNone ? first_ : blocks_[previous].next) = next;
  (next == kNone ? last_ : blocks_[next].previous) = previous;
  --free_count_;
}

Result<void> BlockPool::check_integrity() const {
  auto broken = [](const std::string& what) { return fail(ErrorCode::internal, "block pool: " + what); };

  std::vector<bool> queued(blocks_.size());
  uint32_t count = 0;
  for (int32_t at = first_, before = kNone; at != kNone; before = at, at = blocks_[at].next) {
    if (queued[at]) return broken(fmt::format("block {} is in the queue twice", at));
    if (blocks_[at].previous != before) return broken(fmt::format("block {} is linked wrongly", at));
    if (blocks_[at].references > 0) return broken(fmt::format("block {} is both free and used", at));
    queued[at] = true;
    ++count;
  }
  if (count != free_count_) return broken(fmt::format("{} blocks in the queue, {} counted", count, free_count_));

  size_t hashed = 0;
  for (size_t block = 0; block < blocks_.size(); ++block) {
    if (!queued[block] && blocks_[block].references == 0) return broken(fmt::format("block {} is lost", block));
    if (!blocks_[block].hash) continue;
    ++hashed;
    const auto found = by_hash_.find(*blocks_[block].hash);
    if (found == by_hash_.end() || found->second != static_cast<int32_t>(block)) {
      return broken(fmt::format("block {} can't be found by its hash", block));
    }
  }
  if (hashed != by_hash_.size()) return broken(fmt::format("{} hashes for {} blocks", by_hash_.size(), hashed));
  return {};
}

}  // namespace hearth
