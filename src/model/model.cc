#include "model/model.h"

#include <fmt/ranges.h>
#include <spdlog/spdlog.h>

#include <algorithm>
#include <functional>

#include "model/forward.h"
#include "model/held_formats.h"
#include "model/load_weights.h"
#include "model/made_up_weights.h"
#include "model/unread_tensors.h"

namespace hearth {
namespace {

/// The rope is one for all sequences, as in vLLM and llama.cpp: what was cached with one cannot be used with another.
void choose_ropes(DecoderConfig& config, uint32_t context_tokens) {
  if (!config.long_rope) return;
  const uint32_t context = context_tokens > 0 ? context_tokens : config.context_length;
  const uint32_t original = config.long_rope->original_context;
  if (context <= original) return;
  spdlog::info("positions are those of contexts beyond {} tokens; a --context of at most so many has others", original);
  config.ropes[config.long_rope->replaces] = config.long_rope->rope;
}

/// Of all matrices that a token is multiplied with, what `size_of` says of each; of experts as much as is chosen.
uint64_t sum_over_multiplied(const Recording& recording, const std::function<uint64_t(MatrixId)>& size_of) {
  uint64_t sum = 0;
  for (const Operation& operation : recording.operations) {
    visit_uses(
        operation,
        Overloaded{
            [&](Multiplies use) { sum += size_of(use.matrix); },
            [&](MultipliesChosen use) { sum += size_of(use.matrix) / use.experts * use.chosen; },
            [](OneOf<Reads, Writes, Updates, LooksUp, NeedsVector, WritesCache, ReadsCache, UpdatesState> auto) {}});
  }
  return sum;
}

uint64_t values_of(const MatrixSpec& matrix) {
  uint64_t rows = 0;
  for (const MatrixPart& part : matrix.parts) rows += part.rows;
  return rows * matrix.cols;
}

}  // namespace

struct Model::Unread {
  std::vector<WeightPlan::Source> sources;
  std::unique_ptr<ReadQueue> queue;
};

Model::Model() = default;
Model::~Model() = default;

Result<std::unique_ptr<Model>> Model::load(const Checkpoint& checkpoint, Device& device, const LoadOptions& options,
                                           ProgressSink& progress, const std::stop_token& stop) {
  auto model = declare(checkpoint, device, options, progress, stop);
  if (!model) return model;
  if (auto read = (*model)->read(checkpoint, progress, stop); !read) return pass_on(read);
  return model;
}

Result<void> Model::read(const Checkpoint& checkpoint, ProgressSink& progress, const std::stop_token& stop) {
  const std::unique_ptr<Unread> unread = std::move(unread_);
  const auto layers = static_cast<int>(config_.layers.size());
  auto read = read_weights(checkpoint, *unread->queue, unread->sources, *device_, layers, progress, stop);
  if (!read) device_->give_up_weights(read.error());
  return read;
}

Result<std::unique_ptr<Model>> Model::declare(const Checkpoint& checkpoint, Device& device, const LoadOptions& options,
                                              ProgressSink& progress, const std::stop_token& stop) {
  auto description = describe_decoder(checkpoint);
  if (!description) return pass_on(description);
  if (auto checked = check_unread_tensors(checkpoint, *description); !checked) return pass_on(checked);
  if (!description->unknown_keys.empty() && !options.is_for_timing) {
    spdlog::info("config.json has keys that hearth does not know: {}", fmt::join(description->unknown_keys, ", "));
  }
  if (options.cut.cuts(description->config)) {
    const size_t all = description->config.layers.size();
    options.cut.apply(description->config);
    if (!options.is_for_timing) {
      spdlog::warn("only {} of {} layers are loaded, to check the set-up: answers are nonsense",
                   options.cut.shared_only ? 0 : description->config.layers.size(), all);
    }
  }
  choose_ropes(description->config, options.context_tokens);
  auto declared = declare_weights(checkpoint, *description, device, options.reading, progress, stop);
  if (!declared) return pass_on(declared);

  const std::string held = describe_held_formats(declared->sources);
  if (!held.empty() && !options.is_for_timing) spdlog::info("weights are held in formats that devices have: {}", held);

  std::unique_ptr<Model> model(new Model());
  model->config_ = std::move(description->config);
  model->device_ = &device;
  model->recording_ = record_forward(model->config_, declared->list.weights);
  model->matrices_ = std::move(declared->list.matrices);
  model->weight_uses_ = std::move(declared->list.uses);
  model->cache_ = cache_layers_of(model->config_);
  for (const CacheLayerSpec& layer : model->cache_.layers) {
    model->cache_.groups[layer.group].bytes_per_block += device.cache_block_bytes(layer);
  }
  model->unread_ =
      std::make_unique<Unread>(Unread{.sources = std::move(declared->sources), .queue = std::move(declared->queue)});
  model->bytes_read_per_step_ =
      sum_over_multiplied(model->recording_, [&](MatrixId id) { return device.matrix_bytes(id); });
  model->products_per_token_ =
      sum_over_multiplied(model->recording_, [&](MatrixId id) { return values_of(model->matrices_[id.index]); });
  return model;
}

Result<void> Model::make_up_rows() {
  unread_.reset();
  return write_made_up_rows(*device_, matrices_);
}

Result<void> Model::create_cache(const std::vector<uint32_t>& blocks_per_group) {
  return device_->create_cache({.layers = cache_.layers, .blocks_per_group = blocks_per_group});
}

std::vector<CacheMemory> Model::cache_memories() const {
  std::vector<CacheMemory> all;
  for (const DeviceMemory& memory : device_->memories()) {
    const std::vector<uint64_t> nothing(cache_.groups.size());
    all.push_back({.memory = memory, .bytes_per_block = nothing, .most_layer_bytes = nothing});
  }
  for (const CacheLayerSpec& layer : cache_.layers) {
    CacheMemory& memory = all[device_->memory_of(layer.layer)];
    const uint64_t bytes = device_->cache_block_bytes(layer);
    memory.bytes_per_block[layer.group] += bytes;
    memory.most_layer_bytes[layer.group] = std::max(memory.most_layer_bytes[layer.group], bytes);
  }
  return all;
}

Result<std::unique_ptr<Program>> Model::compile(const ProgramLimits& limits, const CompileOptions& options) const {
  return device_->compile(recording_, limits, options);
}

Result<uint64_t> Model::program_bytes(const ProgramLimits& limits) const {
  return device_->program_bytes(recording_, matrices_, limits);
}

uint64_t Model::staging_bytes(const ProgramLimits& limits, std::span<const uint32_t> blocks_per_group) const {
  return device_->staging_bytes(recording_, limits, blocks_per_group);
}

}  // namespace hearth
