#include "engine/step_budget.h"

#include <algorithm>

namespace hearth {

uint32_t step_budget(const EngineOptions& options, std::span<const CacheMemory> memories, uint64_t large_step_bytes) {
  constexpr uint64_t kLeastRoom = 16;
  const bool has_room = std::ranges::all_of(memories, [&](const CacheMemory& cache) {
    return cache.memory.kind == DeviceMemory::Kind::own &&
           cache.memory.free_bytes.value_or(0) / kLeastRoom >= large_step_bytes;
  });
  if (!options.larger_steps || memories.empty() || !has_room) return options.max_batched_tokens;
  return std::max(options.max_batched_tokens, kLargeStep);
}

}  // namespace hearth
