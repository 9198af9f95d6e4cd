#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "model/model.h"

namespace hearth {

/// Judges whether an engine's KV cache is too large for memories that other programs use, too. For one thread.
class MemoryWatch {
 public:
  /// What to do about the cache.
  struct Advice {
    size_t memory = 0;               ///< that is scarce; the index of CacheMemory
    uint64_t missing_bytes = 0;      ///< there; 0 where there is room for the planned cache again
    bool was_calm_for_long = false;  ///< then it may grow even while something runs
    uint64_t cache_bytes = 0;        ///< that it is to have in all memories together, or as little as it can work with
  };

  using TimePoint = std::chrono::steady_clock::time_point;

  /// `memories` as they are once all is allocated, the cache in `blocks` of each group; so large it may grow again.
  /// Looks are at least `interval` apart.
  MemoryWatch(std::span<const CacheMemory> memories, std::vector<uint32_t> blocks, std::chrono::milliseconds interval);

  /// Nothing where the cache in `blocks` may stay as it is. Memory must be scarce at two looks in a row before anything
  /// is said of it, as some programs take it for a moment; and there must have been room for kCalmIntervals before the
  /// cache is to grow, which starts everybody's prefixes anew.
  std::optional<Advice> look(std::span<const CacheMemory> memories, std::span<const uint32_t> blocks, TimePoint now);

  static constexpr int kScarceLooks = 2;
  static constexpr int kCalmIntervals = 60;
  static constexpr int kLongCalmIntervals = 300;

 private:
  uint64_t missing_bytes(const CacheMemory& memory, size_t index) const;
  bool has_room_to_grow(std::span<const CacheMemory> memories, std::span<const uint32_t> blocks) const;

  std::vector<uint64_t> floors_;  ///< of each memory: less than so much free is scarce
  std::vector<uint32_t> planned_blocks_;
  std::chrono::milliseconds interval_;
  int scarce_looks_ = 0;
  std::optional<TimePoint> calm_since_;  ///< as far as looks have shown
};

/// Bytes of the cache in one memory, and in all.
uint64_t cache_bytes_in(const CacheMemory& memory, std::span<const uint32_t> blocks);
uint64_t cache_bytes_in(std::span<const CacheMemory> memories, std::span<const uint32_t> blocks);

}  // namespace hearth
