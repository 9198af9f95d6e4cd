#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "base/result.h"
#include "engine/engine.h"
#include "model/model.h"

namespace hearth {

/// How much KV cache there will be.
struct CachePlan {
  uint32_t context_length = 0;
  uint32_t least_context = 0;  ///< down to which it may be cut where memory gets scarce: to the one that was asked for
  std::vector<uint32_t> blocks_per_group;
  uint64_t bytes = 0;
};

/// Divides memory among cache groups: one sequence of the whole context always fits, and max_sequences - 1 beside it of
/// the longest equal length for which the memory suffices in every group and in every memory alike; fewer beside it
/// where their states alone would leave too little.
///
/// `options.cache_bytes` 0 takes what all sequences could use, as far as the memories allow: what a GPU of its own
/// memory has left after `step_bytes` (usable_bytes); half of what is left where the memory is the host's (more
/// where one sequence of the context that was asked for needs it), and there, unless it is a GPU's, not more than 1 GiB
/// unless one sequence needs it. On GPUs `options.leave_bytes` are left over, but not more than half.
/// `options.context_length` 0 takes `model_context_length`, or what fits. Errors:
/// out_of_memory, invalid_argument (context beyond the model's), with the numbers.
Result<CachePlan> plan_cache(std::span<const CacheGroup> groups, uint32_t model_context_length,
                             const EngineOptions& options, std::span<const CacheMemory> memories, uint64_t step_bytes);

/// A cache of `bytes` at most for the engine that `planned` is the plan of: with its context where one sequence of it
/// still fits, else with the longest that does; with planned.least_context even where that takes more.
Result<CachePlan> resize_cache(std::span<const CacheGroup> groups, const CachePlan& planned,
                               const EngineOptions& options, std::span<const CacheMemory> memories, uint64_t bytes);

/// Three quarters of a cache for the engine that `planned` is the plan of, where the memory for `present` turned out
/// not to be there; nothing where that is as small as it can be.
std::optional<CachePlan> smaller_cache(std::span<const CacheGroup> groups, const CachePlan& planned,
                                       const CachePlan& present, const EngineOptions& options,
                                       std::span<const CacheMemory> memories);

/// How many sequences have room at once, all with `tokens` tokens, in what plan_cache would divide for such a
/// `context`, were it asked for so many; at most kMostSequences. `options.context_length` and `max_sequences` do not
/// matter.
uint32_t sequences_that_fit(std::span<const CacheGroup> groups, uint32_t context, const EngineOptions& options,
                            std::span<const CacheMemory> memories, uint64_t step_bytes, uint32_t tokens);
inline constexpr uint32_t kMostSequences = 1 << 16;

}  // namespace hearth
