#include "engine/cache_plan.h"

#include <fmt/format.h>

#include <algorithm>

#include "device/step.h"
#include "engine/kv_cache.h"

namespace hearth {
namespace {

constexpr uint64_t kMiB = 1 << 20;
constexpr uint64_t kUsualCacheBytes = 1024 * kMiB;

/// The largest value in [low, high] for which `fits` holds; `low` where none does.
template <class Fits>
uint32_t largest(uint32_t low, uint32_t high, Fits fits) {
  while (low < high) {
    const uint32_t middle = high - (high - low) / 2;
    fits(middle) ? low = middle : high = middle - 1;
  }
  return low;
}

struct Planner {
  std::span<const CacheGroup> groups;
  const EngineOptions& options;

  uint32_t blocks(const CacheGroup& group, uint32_t tokens) const {
    return KvCache::blocks_needed(group, tokens, options.max_batched_tokens);
  }

  uint64_t sequence_bytes(uint32_t tokens) const {
    uint64_t bytes = 0;
    for (const CacheGroup& group : groups) bytes += blocks(group, tokens) * group.bytes_per_block;
    return bytes;
  }

  /// One sequence of `context` and the other ones of `length`.
  uint64_t total_bytes(uint32_t context, uint32_t length) const {
    return sequence_bytes(context) + (options.max_sequences - 1) * sequence_bytes(length);
  }

  uint64_t automatic_budget(uint32_t context, uint64_t available_bytes) const {
    const uint64_t usual = std::max(kUsualCacheBytes, sequence_bytes(context));
    return std::min({total_bytes(context, context), available_bytes / 2, usual});
  }
};

}  // namespace

Result<CachePlan> plan_cache(std::span<const CacheGroup> groups, uint32_t model_context_length,
                             const EngineOptions& options, uint64_t available_bytes) {
  if (options.context_length > model_context_length) {
    return fail(
        ErrorCode::invalid_argument,
        fmt::format("a context of {} tokens is beyond the model's {}", options.context_length, model_context_length),
        fmt::format("choose at most {}", model_context_length));
  }
  const Planner planner{groups, options};
  uint32_t context = options.context_length > 0 ? options.context_length : model_context_length;
  const uint64_t budget =
      options.cache_bytes > 0 ? options.cache_bytes : planner.automatic_budget(context, available_bytes);

  const uint32_t fitting =
      largest(0, context, [&](uint32_t tokens) { return planner.sequence_bytes(tokens) <= budget; });
  if (fitting < context && (options.context_length > 0 || fitting < kBlockTokens)) {
    const uint32_t wanted = options.context_length > 0 ? context : kBlockTokens;
    return fail(ErrorCode::out_of_memory,
                fmt::format("the KV cache of one sequence of {} tokens takes {} MiB, and there are {} MiB for it",
                            wanted, (planner.sequence_bytes(wanted) + kMiB - 1) / kMiB, budget / kMiB),
                fitting >= kBlockTokens ? fmt::format("a context of {} tokens fits", fitting)
                                        : std::string("free some memory or choose a smaller model"));
  }
  context = fitting;

  const uint32_t length =
      largest(0, context, [&](uint32_t tokens) { return planner.total_bytes(context, tokens) <= budget; });
  CachePlan plan{.context_length = context};
  for (const CacheGroup& group : groups) {
    const uint64_t blocks =
        planner.blocks(group, context) + uint64_t{options.max_sequences - 1} * planner.blocks(group, length);
    plan.blocks_per_group.push_back(static_cast<uint32_t>(std::min<uint64_t>(blocks, INT32_MAX)));
    plan.bytes += plan.blocks_per_group.back() * group.bytes_per_block;
  }
  return plan;
}

}  // namespace hearth
