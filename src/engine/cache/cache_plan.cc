#include "engine/cache/cache_plan.h"

#include <fmt/format.h>

#include <algorithm>
#include <optional>

#include "device/device_memory.h"
#include "device/step.h"

namespace hearth {
namespace {

constexpr uint64_t kMiB = 1 << 20;
constexpr uint64_t kUsualCacheBytes = 1024 * kMiB;
constexpr uint32_t kUsefulLength = 1024;

/// The largest value in [low, high] for which `fits` holds; `low` where none does.
template <class Fits>
uint32_t largest(uint32_t low, uint32_t high, Fits fits) {
  while (low < high) {
    const uint32_t middle = high - (high - low) / 2;
    fits(middle) ? low = middle : high = middle - 1;
  }
  return low;
}

/// Blocks of each group.
using Blocks = std::vector<uint64_t>;

uint64_t bytes_of(const Blocks& blocks, std::span<const uint64_t> bytes_per_block) {
  uint64_t bytes = 0;
  for (size_t g = 0; g < blocks.size(); ++g) bytes += blocks[g] * bytes_per_block[g];
  return bytes;
}

class Planner {
 public:
  Planner(std::span<const CacheGroup> groups, const EngineOptions& options, std::span<const CacheMemory> memories)
      : groups_(groups), options_(options), memories_(memories) {}

  /// One sequence of `context`, and beside it `others` of `length`.
  Blocks blocks(uint32_t context, uint32_t length, uint32_t others) const {
    Blocks all;
    for (const CacheGroup& group : groups_) {
      const auto of = [&](uint32_t tokens) { return cache_blocks_needed(group, tokens, options_.max_batched_tokens); };
      all.push_back(of(context) + others * of(length));
    }
    return all;
  }

  void set_budgets(uint32_t context, uint64_t step_bytes) {
    for (const CacheMemory& memory : memories_) budgets_.push_back(automatic_budget(memory, context, step_bytes));
  }

  /// Which memory is too small, if any; with a cache size that was asked for, that of all together is.
  struct Shortage {
    uint64_t needed, there;
  };
  std::optional<Shortage> shortage(const Blocks& blocks) const {
    for (size_t m = 0; m < memories_.size(); ++m) {
      if (options_.cache_bytes > 0) break;
      const uint64_t needed = bytes_of(blocks, memories_[m].bytes_per_block);
      if (needed > budgets_[m]) return Shortage{needed, budgets_[m]};
    }
    const uint64_t total = total_bytes(blocks);
    if (options_.cache_bytes > 0 && total > options_.cache_bytes) return Shortage{total, options_.cache_bytes};
    for (const CacheMemory& memory : memories_) {
      for (size_t g = 0; g < blocks.size(); ++g) {
        const uint64_t needed = blocks[g] * memory.most_layer_bytes[g];
        const uint64_t most = memory.memory.largest_cache_bytes;
        if (needed > most) return Shortage{needed, most};
      }
    }
    return {};
  }

  uint64_t total_bytes(const Blocks& blocks) const {
    uint64_t bytes = 0;
    for (size_t g = 0; g < blocks.size(); ++g) bytes += blocks[g] * groups_[g].bytes_per_block;
    return bytes;
  }

 private:
  uint64_t without_others(uint64_t bytes) const { return bytes - std::min(options_.leave_bytes, bytes / 2); }

  uint64_t automatic_budget(const CacheMemory& memory, uint32_t context, uint64_t step_bytes) const {
    const uint64_t usable = usable_bytes(memory.memory, options_.reserve_bytes);
    const uint64_t beside_steps = usable - std::min(usable, step_bytes);
    const auto of_one = [&](uint32_t tokens) { return bytes_of(blocks(tokens, 0, 0), memory.bytes_per_block); };
    // A context that somebody asked for may need more than a half; whoever shared out the layers left room for it.
    const uint64_t least_bytes = options_.context_length > 0 ? std::min(of_one(context), beside_steps) : 0;
    switch (memory.memory.kind) {
      case DeviceMemory::Kind::own:
        return without_others(beside_steps);
      case DeviceMemory::Kind::integrated:
        return std::max(without_others(usable) / 2, least_bytes);
      case DeviceMemory::Kind::system:
        break;
    }
    return std::min(std::max(usable / 2, least_bytes), std::max(kUsualCacheBytes, of_one(context)));
  }

  std::span<const CacheGroup> groups_;
  const EngineOptions& options_;
  std::span<const CacheMemory> memories_;
  std::vector<uint64_t> budgets_;  // of each memory
};

}  // namespace

Result<CachePlan> plan_cache(std::span<const CacheGroup> groups, uint32_t model_context_length,
                             const EngineOptions& options, std::span<const CacheMemory> memories, uint64_t step_bytes) {
  if (options.context_length > model_context_length) {
    return fail(
        ErrorCode::invalid_argument,
        fmt::format("a context of {} tokens is beyond the model's {}", options.context_length, model_context_length),
        fmt::format("choose at most {}", model_context_length));
  }
  Planner planner(groups, options, memories);
  uint32_t context = options.context_length > 0 ? options.context_length : model_context_length;
  planner.set_budgets(context, step_bytes);

  const uint32_t fitting =
      largest(0, context, [&](uint32_t tokens) { return !planner.shortage(planner.blocks(tokens, 0, 0)); });
  if (fitting < context && (options.context_length > 0 || fitting < kBlockTokens)) {
    const uint32_t wanted = options.context_length > 0 ? context : kBlockTokens;
    const auto short_of = planner.shortage(planner.blocks(wanted, 0, 0));
    return fail(ErrorCode::out_of_memory,
                fmt::format("the KV cache of one sequence of {} tokens takes {} MiB, and there are {} MiB for it",
                            wanted, (short_of->needed + kMiB - 1) / kMiB, short_of->there / kMiB),
                fitting >= kBlockTokens ? fmt::format("a context of {} tokens fits", fitting)
                                        : std::string("free some memory or choose a smaller model"));
  }
  context = fitting;

  // A state takes the same however short its sequence is: where memory is scarce, fewer sequences run side by side.
  const auto fits = [&](uint32_t tokens, uint32_t others) {
    return !planner.shortage(planner.blocks(context, tokens, others));
  };
  uint32_t others = options.max_sequences - 1;
  if (std::ranges::find(groups, true, &CacheGroup::keeps_states) != groups.end()) {
    others = largest(0, others, [&](uint32_t count) { return fits(std::min(context, kUsefulLength), count); });
  }
  const uint32_t length = largest(0, context, [&](uint32_t tokens) { return fits(tokens, others); });
  const Blocks blocks = planner.blocks(context, length, others);
  const uint32_t least = options.context_length > 0 ? context : std::min(context, kUsefulLength);
  CachePlan plan{.context_length = context, .least_context = least};
  for (size_t g = 0; g < groups.size(); ++g) {
    plan.blocks_per_group.push_back(static_cast<uint32_t>(std::min<uint64_t>(blocks[g], INT32_MAX)));
    plan.bytes += plan.blocks_per_group.back() * groups[g].bytes_per_block;
  }
  return plan;
}

Result<CachePlan> resize_cache(std::span<const CacheGroup> groups, const CachePlan& planned,
                               const EngineOptions& options, std::span<const CacheMemory> memories, uint64_t bytes) {
  const Planner planner(groups, options, memories);
  EngineOptions resized = options;
  resized.context_length = 0;
  resized.cache_bytes = std::max(bytes, planner.total_bytes(planner.blocks(planned.least_context, 0, 0)));
  auto plan = plan_cache(groups, planned.context_length, resized, memories, 0);
  if (plan) plan->least_context = planned.least_context;
  return plan;
}

std::optional<CachePlan> smaller_cache(std::span<const CacheGroup> groups, const CachePlan& planned,
                                       const CachePlan& present, const EngineOptions& options,
                                       std::span<const CacheMemory> memories) {
  auto plan = resize_cache(groups, planned, options, memories, present.bytes / 4 * 3);
  return plan && plan->bytes < present.bytes ? std::optional(std::move(*plan)) : std::nullopt;
}

uint32_t sequences_that_fit(std::span<const CacheGroup> groups, uint32_t context, const EngineOptions& options,
                            std::span<const CacheMemory> memories, uint64_t step_bytes, uint32_t tokens) {
  Planner planner(groups, options, memories);
  planner.set_budgets(context, step_bytes);
  return largest(0, kMostSequences,
                 [&](uint32_t count) { return !planner.shortage(planner.blocks(tokens, tokens, count - 1)); });
}

}  // namespace hearth
