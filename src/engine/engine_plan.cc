#include "engine/engine_plan.h"

#include <algorithm>

#include "engine/engine_loop.h"
#include "engine/step_budget.h"

namespace hearth {
namespace {

EngineOptions with_consistent_limits(EngineOptions options) {
  options.max_sequences = std::max(options.max_sequences, 1U);
  // Every running sequence must be able to have its next token in each step.
  options.max_batched_tokens = std::max(options.max_batched_tokens, options.max_sequences);
  return options;
}

}  // namespace

Result<EnginePlan> plan_engine(const Model& model, const EngineOptions& options) {
  EnginePlan plan = {.options = options};
  EngineOptions large_steps = options;
  large_steps.max_batched_tokens = kLargeStep;
  auto large_step_bytes = model.program_bytes(program_limits(large_steps));
  if (!large_step_bytes) return pass_on(large_step_bytes);
  plan.options.max_batched_tokens = step_budget(options, model.cache_memories(), *large_step_bytes);
  plan.options = with_consistent_limits(plan.options);
  plan.limits = program_limits(plan.options);
  auto step_bytes = model.program_bytes(plan.limits);
  if (!step_bytes) return pass_on(step_bytes);
  plan.activation_bytes = *step_bytes;
  auto cache = plan_cache(model.cache_groups(), model.config().context_length, plan.options, model.cache_memories(),
                          plan.activation_bytes);
  if (!cache) return pass_on(cache);
  plan.options.context_length = cache->context_length;
  plan.options.cache_bytes = cache->bytes;
  plan.cache = std::move(*cache);
  plan.staging_bytes = model.staging_bytes(plan.limits, plan.cache.blocks_per_group);
  return plan;
}

}  // namespace hearth
