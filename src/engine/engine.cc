#include "engine/engine.h"

#include <algorithm>

#include "device/tune_to_end.h"
#include "engine/engine_loop.h"
#include "engine/engine_plan.h"
#include "text/tokenizer.h"

namespace hearth {
namespace {

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
  auto plan = plan_engine(model, options);
  if (!plan) return pass_on(plan);
  parts.options = plan->options;
  parts.plan = std::move(plan->cache);
  parts.cache_groups = model.cache_groups();
  parts.vocabulary = model.config().vocabulary;
  parts.end_tokens = end_tokens_of(model, tokenizer);
  parts.tokenizer = tokenizer;

  if (Result<void> created = model.create_cache(parts.plan.blocks_per_group); !created) return pass_on(created);
  Result<std::unique_ptr<Program>> program = model.compile(plan->limits, compiling);
  if (!program) return pass_on(program);
  if (options.tune_first) {
    if (auto tuned = tune_to_end(**program); !tuned) return pass_on(tuned);
  }
  parts.program = std::move(*program);
  return std::make_unique<EngineLoop>(std::move(parts));
}

}  // namespace hearth
