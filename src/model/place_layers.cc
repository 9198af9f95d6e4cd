#include "model/place_layers.h"

#include <algorithm>
#include <numeric>

#include "device/device_memory.h"
#include "device/split/split_device.h"
#include "model/cache_layers.h"
#include "model/families/family.h"
#include "model/forward.h"
#include "model/load_weights.h"

namespace hearth {
namespace {

constexpr uint32_t kUsualContext = 4096;

/// The first layer whose K and V another reads.
uint32_t first_read_layer(const DecoderConfig& config) {
  uint32_t first = UINT32_MAX;
  config.for_each_attention([&](const AttentionConfig& c) { first = std::min(first, c.reads_layer.value_or(first)); });
  return first;
}

Result<PlannedDevice> needs_of(const DecoderConfig& config, const WeightList& list, const Device& device,
                               const PlaceOptions& options) {
  const DeviceMemory memory = device.memories().front();
  PlannedDevice planned = {.name = device.info().name,
                           .is_gpu = device.info().is_gpu,
                           .pool = memory.pool,
                           .usable_bytes = usable_bytes(memory, options.reserve_bytes),
                           .layer_bytes = std::vector<uint64_t>(config.layers.size()),
                           .tied = config.tied_embeddings};
  auto steps = device.program_bytes(record_forward(config, list.weights), list.matrices, options.limits);
  if (!steps) return pass_on(steps);
  planned.step_bytes = *steps;
  planned.whole_from = first_read_layer(config);
  for (const MatrixSpec& matrix : list.matrices) {
    auto bytes = device.declared_bytes(matrix);
    if (!bytes) return pass_on(bytes);
    uint64_t& sum = matrix.role == MatrixRole::embedding ? planned.embedding_bytes
                    : matrix.role == MatrixRole::head    ? planned.head_bytes
                                                         : planned.layer_bytes[matrix.layers.front()];
    sum += *bytes;
  }
  if (config.tied_embeddings) planned.head_bytes = planned.embedding_bytes;
  const uint32_t context = options.context_tokens > 0 ? std::min(options.context_tokens, config.context_length)
                                                      : std::min(config.context_length, kUsualContext);
  const CacheLayers cache = cache_layers_of(config);
  for (const CacheLayerSpec& layer : cache.layers) {
    const uint64_t blocks = cache_blocks_needed(cache.groups[layer.group], context, options.limits.tokens);
    planned.layer_bytes[layer.layer] += options.sequences * device.cache_block_bytes(layer) * blocks;
  }
  return planned;
}

}  // namespace

Result<LayerPlan> plan_layers_of(const Checkpoint& checkpoint, std::span<const std::unique_ptr<Device>> devices,
                                 const PlaceOptions& options) {
  auto description = describe_decoder(checkpoint);
  if (!description) return pass_on(description);
  options.cut.apply(description->config);
  auto list = list_weights(checkpoint, *description);
  if (!list) return pass_on(list);
  std::vector<PlannedDevice> planned;
  for (const auto& device : devices) {
    auto needs = needs_of(description->config, *list, *device, options);
    if (!needs) return pass_on(needs);
    planned.push_back(std::move(*needs));
  }
  return plan_layers(planned, options.gpu_layers);
}

Result<std::unique_ptr<Device>> join_devices(std::vector<std::unique_ptr<Device>> devices, const LayerPlan& plan) {
  std::vector<SplitStage> stages;
  uint32_t next = 0;
  for (size_t d = 0; d < plan.size(); ++d) {
    if (plan[d] > 0) stages.push_back({std::move(devices[d]), next});
    next += plan[d];
  }
  if (stages.size() == 1) return std::move(stages.front().device);
  return make_split_device(std::move(stages), next);
}

}  // namespace hearth
