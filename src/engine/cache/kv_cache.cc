#include "engine/cache/kv_cache.h"

#include <fmt/format.h>

#include <algorithm>

#include "device/step.h"

namespace hearth {
namespace {

uint32_t blocks_of(uint32_t tokens) { return (tokens + kBlockTokens - 1) / kBlockTokens; }

}  // namespace

KvCache::KvCache(std::span<const CacheGroup> groups, std::span<const uint32_t> blocks_per_group)
    : groups_(groups.begin(), groups.end()), pools_(blocks_per_group.begin(), blocks_per_group.end()) {
  const auto found = std::ranges::find(groups_, true, &CacheGroup::keeps_states);
  if (found != groups_.end()) states_group_ = found - groups_.begin();
}

uint32_t KvCache::first_visible_block(const CacheGroup& group, uint32_t position) {
  if (group.window == 0 || position < group.window) return 0;
  return (position - group.window + 1) / kBlockTokens;
}

uint32_t KvCache::cached_prefix(std::span<const BlockHash> hashes, uint32_t max_tokens) const {
  uint32_t end = std::min<uint32_t>(static_cast<uint32_t>(hashes.size()), max_tokens / kBlockTokens);
  for (size_t g = 0; g < groups_.size(); ++g) {
    if (groups_[g].window > 0 || groups_[g].keeps_states) continue;
    uint32_t found = 0;
    while (found < end && pools_[g].find(hashes[found])) ++found;
    end = found;
  }
  // A shorter end in one group may miss blocks in another: shrink until all agree.
  for (uint32_t before = end + 1; before != end;) {
    before = end;
    for (size_t g = 0; g < groups_.size(); ++g) {
      while (end > 0 && groups_[g].keeps_states && !pools_[g].find(hashes[end - 1])) --end;
      if (groups_[g].window == 0) continue;
      for (uint32_t block = end; block > first_visible_block(groups_[g], end * kBlockTokens);) {
        --block;
        if (!pools_[g].find(hashes[block])) end = block;
      }
    }
  }
  return end * kBlockTokens;
}

void KvCache::adopt_prefix(SequenceBlocks& blocks, std::span<const BlockHash> hashes, uint32_t tokens) {
  const uint32_t end = tokens / kBlockTokens;
  blocks.tables.resize(groups_.size());
  blocks.first_held.assign(groups_.size(), 0);
  blocks.published = end;
  for (size_t g = 0; g < groups_.size(); ++g) {
    if (groups_[g].keeps_states) {
      if (end > 0) blocks.states.adopt(pools_[g], *pools_[g].find(hashes[end - 1]), tokens);
      continue;
    }
    const uint32_t first = std::min(first_visible_block(groups_[g], tokens), end);
    blocks.tables[g].assign(end, SequenceBlocks::kNoBlock);
    blocks.first_held[g] = first;
    for (uint32_t block = first; block < end; ++block) {
      blocks.tables[g][block] = *pools_[g].find(hashes[block]);
      pools_[g].acquire(blocks.tables[g][block]);
    }
  }
}

void KvCache::slide(SequenceBlocks& blocks, size_t group, uint32_t context_tokens) {
  std::vector<int32_t>& table = blocks.tables[group];
  uint32_t& first = blocks.first_held[group];
  const uint32_t visible =
      std::min<uint32_t>(first_visible_block(groups_[group], context_tokens), static_cast<uint32_t>(table.size()));
  for (; first < visible; ++first) {
    pools_[group].release(table[first]);
    table[first] = SequenceBlocks::kNoBlock;
  }
}

uint32_t KvCache::table_size(const CacheGroup& group, const Growth& growth) {
  return blocks_of(group.window == 0 ? std::max(growth.end_tokens, growth.reserved_tokens) : growth.end_tokens);
}

bool KvCache::lacks_blocks(const SequenceBlocks& blocks, size_t group, const Growth& growth) const {
  if (groups_[group].keeps_states)
    return !blocks.states.can_step(pools_[group], growth.context_tokens, growth.may_go_back);
  return table_size(groups_[group], growth) > blocks.tables[group].size() + pools_[group].free_count();
}

bool KvCache::grow(SequenceBlocks& blocks, const Growth& growth) {
  blocks.tables.resize(groups_.size());
  blocks.first_held.resize(groups_.size());
  for (size_t g = 0; g < groups_.size(); ++g) {
    if (!groups_[g].keeps_states) slide(blocks, g, growth.context_tokens);
    if (lacks_blocks(blocks, g, growth)) return false;
  }
  for (size_t g = 0; g < groups_.size(); ++g) {
    if (groups_[g].keeps_states) {
      blocks.states.step(pools_[g], growth.context_tokens, growth.end_tokens, growth.keep_state, growth.may_go_back);
      blocks.tables[g] = blocks.states.table();
      continue;
    }
    const uint32_t size = table_size(groups_[g], growth);
    while (blocks.tables[g].size() < size) blocks.tables[g].push_back(*pools_[g].allocate());
  }
  return true;
}

bool KvCache::has_room(const SequenceBlocks& blocks, uint32_t tokens, uint32_t step_tokens, uint32_t headroom) const {
  for (size_t g = 0; g < groups_.size(); ++g) {
    if (groups_[g].keeps_states) {  // those that run have theirs
      if (!blocks.states.can_step(pools_[g], tokens, false)) return false;
      continue;
    }
    const size_t held = blocks.tables.empty() ? 0 : blocks.tables[g].size() - blocks.first_held[g];
    const size_t needed = cache_blocks_needed(groups_[g], tokens, step_tokens) + headroom;
    if (needed > held + pools_[g].free_count()) return false;
  }
  return true;
}

void KvCache::publish(SequenceBlocks& blocks, std::span<const BlockHash> hashes, uint32_t context_tokens,
                      uint32_t prompt_tokens) {
  const uint32_t full = context_tokens / kBlockTokens;
  if (states_group_ && context_tokens > 0 && context_tokens % kBlockTokens == 0) {
    const bool is_passing = context_tokens > prompt_tokens;
    blocks.states.publish(pools_[*states_group_], context_tokens, hashes[full - 1], is_passing);
  }
  for (; blocks.published < full; ++blocks.published) {
    for (size_t g = 0; g < groups_.size(); ++g) {
      if (groups_[g].keeps_states) continue;
      const int32_t block = blocks.tables[g][blocks.published];
      if (block != SequenceBlocks::kNoBlock) pools_[g].publish(block, hashes[blocks.published]);
    }
  }
}

void KvCache::release(SequenceBlocks& blocks) {
  for (size_t g = 0; g < blocks.tables.size(); ++g) {
    std::vector<int32_t>& table = blocks.tables[g];
    if (groups_[g].keeps_states) {
      blocks.states.release(pools_[g]);
      table.clear();
      continue;
    }
    for (size_t block = table.size(); block > blocks.first_held[g]; --block) pools_[g].release(table[block - 1]);
    table.clear();
    blocks.first_held[g] = 0;
  }
  blocks.published = 0;
}

Result<void> KvCache::check_integrity(bool idle) const {
  for (size_t g = 0; g < pools_.size(); ++g) {
    if (Result<void> pool = pools_[g].check_integrity(); !pool) return pool;
    if (idle && pools_[g].used_count() > 0) {
      return fail(ErrorCode::internal,
                  fmt::format("cache group {}: {} blocks in use by nobody", g, pools_[g].used_count()));
    }
  }
  return {};
}

}  // namespace hearth
