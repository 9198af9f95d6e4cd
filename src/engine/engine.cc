#include "engine/engine.h"

#include <spdlog/spdlog.h>

#include <algorithm>
#include <utility>

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

/// A cache and a program that uses it. Errors: as Model's.
Result<std::unique_ptr<Program>> make_program(Model& model, const std::vector<uint32_t>& blocks_per_group,
                                              const ProgramLimits& limits, CompileOptions compiling,
                                              const std::stop_token& stop) {
  if (Result<void> created = model.create_cache(blocks_per_group); !created) return pass_on(created);
  compiling.stop = stop;
  return model.compile(limits, compiling);
}

/// Lets an engine make programs of `model`, and later of whichever model `rebuild` has put in its place.
void add_program_makers(EngineParts& parts, Model& model, RebuildProgram rebuild, const CompileOptions& compiling) {
  // Null when the last one is gone.
  const auto current = std::make_shared<Model*>(&model);
  parts.memories = [current] {
    return *current == nullptr ? std::vector<CacheMemory>() : (*current)->cache_memories();
  };
  parts.resize = [current, compiling](const std::vector<uint32_t>& blocks, const ProgramLimits& limits,
                                      const std::stop_token& stop) -> Result<std::unique_ptr<Program>> {
    if (*current == nullptr) return fail(ErrorCode::unsupported, "the model's device was lost");
    return make_program(**current, blocks, limits, compiling, stop);
  };
  if (!rebuild) return;
  parts.rebuild = [current, rebuild = std::move(rebuild)](
                      const std::vector<uint32_t>& blocks, const ProgramLimits& limits,
                      const std::stop_token& stop) -> Result<std::unique_ptr<Program>> {
    auto rebuilt = rebuild(blocks, limits, stop);
    *current = rebuilt ? rebuilt->model : nullptr;
    if (!rebuilt) return pass_on(rebuilt);
    return std::move(rebuilt->program);
  };
}

/// The first program of `parts`, with less cache than planned where the memory turns out not to be there.
Result<void> make_first_program(EngineParts& parts, Model& model, const ProgramLimits& limits,
                                const CompileOptions& compiling) {
  for (;;) {
    auto program = make_program(model, parts.plan.blocks_per_group, limits, compiling, compiling.stop);
    if (program) {
      parts.program = std::move(*program);
      return {};
    }
    if (program.error().code != ErrorCode::out_of_memory) return pass_on(program);
    auto less = smaller_cache(parts.cache_groups, parts.plan, parts.plan, parts.options, model.cache_memories());
    if (!less) return pass_on(program);
    spdlog::warn("{}; the KV cache becomes smaller", program.error().message);
    parts.plan = std::move(*less);
    parts.options.cache_bytes = parts.plan.bytes;
    parts.options.context_length = parts.plan.context_length;
  }
}

}  // namespace

Result<std::unique_ptr<Engine>> Engine::start(Model& model, const Tokenizer* tokenizer, const EngineOptions& options,
                                              RebuildProgram rebuild, DraftTokens draft,
                                              const CompileOptions& compiling) {
  EngineParts parts;
  parts.draft = std::move(draft);
  auto plan = plan_engine(model, options);
  if (!plan) return pass_on(plan);
  parts.options = plan->options;
  parts.plan = std::move(plan->cache);
  parts.cache_groups = model.cache_groups();
  parts.vocabulary = model.config().vocabulary;
  parts.end_tokens = end_tokens_of(model, tokenizer);
  parts.tokenizer = tokenizer;

  add_program_makers(parts, model, std::move(rebuild), compiling);
  if (auto made = make_first_program(parts, model, plan->limits, compiling); !made) return pass_on(made);
  if (options.tune_first) {
    if (auto tuned = tune_to_end(*parts.program); !tuned) return pass_on(tuned);
  }
  return std::make_unique<EngineLoop>(std::move(parts));
}

}  // namespace hearth
