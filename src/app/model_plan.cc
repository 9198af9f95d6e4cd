#include "app/model_plan.h"

#include <algorithm>

#include "app/predicted_speed.h"
#include "device/device_memory.h"
#include "device/operation_uses.h"
#include "model/model.h"

namespace hearth::app {
namespace {

/// Contexts that people ask for.
constexpr uint32_t kContexts[] = {2048, 8192, 32768, 131072};

std::vector<PlannedMemory> memories_of(const Device& device, std::optional<uint64_t> reserve_bytes) {
  std::vector<PlannedMemory> all;
  for (DeviceMemory& memory : device.memories()) {
    const uint64_t usable = usable_bytes(memory, reserve_bytes);
    all.push_back({.memory = std::move(memory), .usable_bytes = usable, .weights = {}});
  }
  return all;
}

void add_use(const Model& model, const EnginePlan& engine, std::vector<PlannedMemory>& memories) {
  const WeightUses& weights = model.weight_uses();
  const std::vector<CacheMemory> caches = model.cache_memories();
  for (size_t m = 0; m < memories.size(); ++m) {
    if (m < weights.size()) memories[m].weights = weights[m];
    memories[m].activation_bytes = engine.activation_bytes;
    for (size_t g = 0; g < engine.cache.blocks_per_group.size(); ++g) {
      memories[m].cache_bytes += engine.cache.blocks_per_group[g] * caches[m].bytes_per_block[g];
    }
  }
  for (uint32_t layer = 0; layer < model.config().layers.size(); ++layer) {
    ++memories[model.device().memory_of(layer)].layers;
  }
}

uint64_t bytes_of_token(const Model& model) {
  uint64_t bytes = 0;
  for (const CacheGroup& group : model.cache_groups()) {
    if (!group.keeps_states && group.window == 0) bytes += group.bytes_per_block / kBlockTokens;
  }
  return bytes;
}

double chosen_experts(const Recording& recording) {
  double part = 0;
  for (const Operation& operation : recording.operations) {
    visit_uses(operation,
               Overloaded{[&](MultipliesChosen use) { part = std::max(part, double{1} * use.chosen / use.experts); },
                          [](auto) {}});
  }
  return part;
}

std::vector<Room> rooms_of(const Model& model, const EngineOptions& asked, const EnginePlan& plan) {
  EngineOptions options = asked;
  options.max_batched_tokens = plan.options.max_batched_tokens;
  const std::vector<CacheMemory> memories = model.cache_memories();
  const uint32_t own = plan.options.context_length;
  std::vector<Room> rooms;
  const auto add = [&](uint32_t tokens) {
    rooms.push_back(
        {.tokens = tokens,
         .sequences = sequences_that_fit(model.cache_groups(), own, options, memories, plan.activation_bytes, tokens),
         .bytes_read = cache_bytes_read(model.cache_groups(), tokens)});
  };
  for (const uint32_t tokens : kContexts) {
    if (tokens < own) add(tokens);
  }
  add(own);
  return rooms;
}

}  // namespace

Result<ModelPlan> plan_model(const Checkpoint& checkpoint, std::unique_ptr<Device> device, const EngineOptions& options,
                             const LayerCut& cut) {
  ModelPlan plan = {.device = device->info().name,
                    .device_description = device->info().description,
                    .memories = memories_of(*device, options.reserve_bytes),
                    .engine = {}};
  LatestProgress progress;
  auto model =
      Model::declare(checkpoint, *device, {.context_tokens = options.context_length, .cut = cut}, progress, {});
  if (!model) return pass_on(model);
  auto engine = plan_engine(**model, options);
  if (!engine) return pass_on(engine);
  add_use(**model, *engine, plan.memories);
  plan.staging_bytes = engine->staging_bytes;
  plan.layers = static_cast<uint32_t>((*model)->config().layers.size());
  plan.model_context = (*model)->config().context_length;
  plan.bytes_of_token = bytes_of_token(**model);
  plan.weight_bytes_read = (*model)->bytes_read_per_step();
  plan.products_per_token = (*model)->products_per_token();
  plan.chosen_experts = chosen_experts((*model)->recording());
  plan.device_kind = device->info().kind;
  plan.short_bytes_read = cache_bytes_read((*model)->cache_groups(), PredictedSpeed::kShortContext);
  plan.is_split = device->info().kind.find('+') != std::string::npos;
  plan.teraflops = device->info().teraflops;
  if (device->info().is_absent) plan.bandwidth_gb_per_second = device->measure_bandwidth_gb_per_second();
  plan.rooms = rooms_of(**model, options, *engine);
  plan.engine = std::move(*engine);
  return plan;
}

}  // namespace hearth::app
