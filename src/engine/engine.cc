#include "engine/engine.h"

#include <algorithm>

#include "device/tune_to_end.h"
#include "engine/cache/cache_plan.h"
#include "engine/engine_loop.h"
#include "engine/step_budget.h"
#include "text/tokenizer.h"

namespace hearth {
namespace {

EngineOptions with_consistent_limits(EngineOptions options) {
  options.max_sequences = std::max(options.max_sequences, 1U);
  // Every running sequence must be able to have its next token in each step.
  options.max_batched_tokens = std::max(options.max_batched_tokens, options.max_sequences);
  return options;
}

std::vector<int32_t> end_tokens_of(const Model& model, const Tokenizer* tokenizer) {
  std::vector<int32_t> ids = model.config().end_tokens;
  if (tokenizer != nullptr) ids.insert(ids.end(), tokenizer->end_ids().begin(), tokenizer->end_ids().end());
  std::ranges::sort(ids);
  const auto repeated = std::ranges::unique(ids);
  ids.erase(repeated.begin(), repeated.end());
  std::erase_if(ids, [&](int32_t id) { return id < 0 || static_cast<uint32_t>(id) >= model.config().vocabulary; });
  return ids;
}

}  // namespace

Result<std::unique_ptr<Engine>> Engine::start(Model& model, const Tokenizer* tokenizer, const EngineOptions& options,
                                              RebuildProgram rebuild, DraftTokens draft,
                                              const CompileOptions& compiling) {
  EngineParts parts;
  parts.rebuild = std::move(rebuild);
  parts.draft = std::move(draft);
  parts.options = options;
  EngineOptions large_steps = options;
  large_steps.max_batched_tokens = kLargeStep;
  auto large_step_bytes = model.program_bytes(program_limits(large_steps));
  if (!large_step_bytes) return pass_on(large_step_bytes);
  parts.options.max_batched_tokens = step_budget(options, model.cache_memories(), *large_step_bytes);
  parts.options = with_consistent_limits(parts.options);
  parts.cache_groups = model.cache_groups();
  parts.vocabulary = model.config().vocabulary;
  parts.end_tokens = end_tokens_of(model, tokenizer);
  parts.tokenizer = tokenizer;

  const ProgramLimits limits = program_limits(parts.options);
  auto step_bytes = model.program_bytes(limits);
  if (!step_bytes) return pass_on(step_bytes);
  Result<CachePlan> plan =
      plan_cache(parts.cache_groups, model.config().context_length, parts.options, model.cache_memories(), *step_bytes);
  if (!plan) return pass_on(plan);
  parts.options.context_length = plan->context_length;
  parts.options.cache_bytes = plan->bytes;
  parts.plan = std::move(*plan);

  if (Result<void> created = model.create_cache(parts.plan.blocks_per_group); !created) return pass_on(created);
  Result<std::unique_ptr<Program>> program = model.compile(limits, compiling);
  if (!program) return pass_on(program);
  if (options.tune_first) {
    if (auto tuned = tune_to_end(**program); !tuned) return pass_on(tuned);
  }
  parts.program = std::move(*program);
  return std::make_unique<EngineLoop>(std::move(parts));
}

}  // namespace hearth
