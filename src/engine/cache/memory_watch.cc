#include "engine/cache/memory_watch.h"

#include <algorithm>

namespace hearth {
namespace {

/// Plans leave about a gigabyte of a GPU's memory free (usable_bytes). When little of what was left is left, others
/// have come. That is all that shows on drivers which push what they cannot hold out into the host's memory (RADV's
/// budgets never fall below what a process has); the GPU then reads it through the bus, many times more slowly.
constexpr uint64_t kLeastFree = uint64_t{128} << 20;
constexpr uint64_t kPartOfFree = 8;

/// Where what is missing cannot be seen, the cache shrinks by such a part of itself at once, and again if need be.
constexpr uint64_t kLeastPart = 8;

}  // namespace

uint64_t cache_bytes_in(const CacheMemory& memory, std::span<const uint32_t> blocks) {
  uint64_t bytes = 0;
  for (size_t g = 0; g < blocks.size(); ++g) bytes += blocks[g] * memory.bytes_per_block[g];
  return bytes;
}

uint64_t cache_bytes_in(std::span<const CacheMemory> memories, std::span<const uint32_t> blocks) {
  uint64_t bytes = 0;
  for (const CacheMemory& memory : memories) bytes += cache_bytes_in(memory, blocks);
  return bytes;
}

MemoryWatch::MemoryWatch(std::span<const CacheMemory> memories, std::vector<uint32_t> blocks,
                         std::chrono::milliseconds interval)
    : planned_blocks_(std::move(blocks)), interval_(interval) {
  for (const CacheMemory& memory : memories) {
    floors_.push_back(std::min(kLeastFree, memory.memory.free_bytes.value_or(0) / kPartOfFree));
  }
}

uint64_t MemoryWatch::missing_bytes(const CacheMemory& memory, size_t index) const {
  const uint64_t free = memory.memory.free_bytes.value_or(UINT64_MAX);
  return memory.memory.overused_bytes + floors_[index] - std::min(floors_[index], free);
}

std::optional<MemoryWatch::Advice> MemoryWatch::look(std::span<const CacheMemory> memories,
                                                     std::span<const uint32_t> blocks, TimePoint now) {
  Advice scarcest;
  double least_share = 1;  // of the cache that can stay
  for (size_t m = 0; m < memories.size(); ++m) {
    const uint64_t missing = missing_bytes(memories[m], m);
    if (missing == 0) continue;
    const uint64_t bytes = cache_bytes_in(memories[m], blocks);
    // With as much again, so that it need not shrink soon after.
    const uint64_t given_back = std::min(std::max(missing + floors_[m], bytes / kLeastPart), bytes);
    const double share = bytes > 0 ? static_cast<double>(bytes - given_back) / static_cast<double>(bytes) : 1;
    if (share > least_share || (scarcest.missing_bytes > 0 && share == least_share)) continue;
    least_share = share;
    scarcest = {.memory = m, .missing_bytes = missing};
  }
  const bool is_scarce = scarcest.missing_bytes > 0;
  scarce_looks_ = is_scarce ? scarce_looks_ + 1 : 0;
  if (is_scarce || !has_room_to_grow(memories, blocks)) {
    calm_since_.reset();
  } else if (!calm_since_) {
    calm_since_ = now;
  }
  if (scarce_looks_ >= kScarceLooks) {
    scarce_looks_ = 0;
    scarcest.cache_bytes = static_cast<uint64_t>(least_share * static_cast<double>(cache_bytes_in(memories, blocks)));
    return scarcest;
  }
  if (calm_since_ && now - *calm_since_ >= kCalmIntervals * interval_) {
    return Advice{.was_calm_for_long = now - *calm_since_ >= kLongCalmIntervals * interval_};
  }
  return {};
}

bool MemoryWatch::has_room_to_grow(std::span<const CacheMemory> memories, std::span<const uint32_t> blocks) const {
  if (std::ranges::equal(blocks, planned_blocks_)) return false;
  for (size_t m = 0; m < memories.size(); ++m) {
    const uint64_t more = cache_bytes_in(memories[m], planned_blocks_) - cache_bytes_in(memories[m], blocks);
    if (memories[m].memory.free_bytes.value_or(UINT64_MAX) < more + 2 * floors_[m]) return false;
  }
  return true;
}

}  // namespace hearth
