#include "device/vulkan/bench/attention.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstring>
#include <random>

#include "device/vulkan/bench/step.h"
#include "device/vulkan/vulkan_device.h"

namespace hearth::vulkan {
namespace {

constexpr uint32_t kMostLayers = 62;
constexpr uint64_t kMostCacheBytes = uint64_t{8} << 30;
constexpr uint64_t kMostLayerBytes = uint64_t{2} << 30;  // of one buffer
constexpr uint32_t kTableRows = 1024;

/// Layers that are nothing but norms, rope, cache and attention over the same rows of Q, K and V.
class AttentionLayers {
 public:
  AttentionLayers(Device& device, const AttentionBench& bench) : device_(device), b_(bench) {}

  Result<void> load() {
    const uint32_t width = (b_.heads + 2 * b_.kv_heads) * b_.head_dim;
    auto table = device_.declare_matrix({.parts = {{"rows", NumberFormat::f32, kTableRows}}, .cols = width});
    if (!table) return pass_on(table);
    table_ = *table;
    std::mt19937 random(1);
    std::normal_distribution<float> normal;
    std::vector<float> values(size_t{kTableRows} * width);
    for (float& value : values) value = normal(random);
    if (auto done = device_.write_rows(table_, 0, 0, std::as_bytes(std::span(values))); !done) return done;
    auto ones = device_.upload_vector("ones", std::vector<float>(b_.head_dim, 1.0F));
    if (!ones) return pass_on(ones);
    ones_ = *ones;
    return {};
  }

  Recording record(uint32_t layers) const {
    Recording recording;
    const auto tensor = [&](Rows rows, uint32_t width) {
      recording.tensors.push_back({"", rows, width});
      return TensorId{static_cast<uint32_t>(recording.tensors.size() - 1)};
    };
    const uint32_t width = b_.heads * b_.head_dim;
    const TensorId qkv = tensor(Rows::tokens, width + 2 * b_.kv_heads * b_.head_dim);
    const TensorId query = tensor(Rows::tokens, width), mixed = tensor(Rows::tokens, width);
    recording.logits = tensor(Rows::logits, width);
    RopeSpec rope;
    for (uint32_t i = 0; i < b_.head_dim / 2; ++i) {
      const float exponent = -2.0F * static_cast<float>(i) / static_cast<float>(b_.head_dim);
      rope.inverse_frequencies.push_back(std::pow(1e4F, exponent));
    }
    recording.ropes = {rope};
    auto& ops = recording.operations;
    ops.push_back(Embed{.table = table_, .scale = 1.0F, .out = qkv});
    for (uint32_t i = 0; i < layers; ++i) {
      ops.push_back(RopeAndStore{.qkv = qkv,
                                 .heads = b_.heads,
                                 .kv_heads = b_.kv_heads,
                                 .head_dim = b_.head_dim,
                                 .q_norm = ones_,
                                 .k_norm = ones_,
                                 .rope = RopeId{0},
                                 .cache_layer = {i},
                                 .out = query});
      ops.push_back(Attention{.query = query,
                              .heads = b_.heads,
                              .kv_heads = b_.kv_heads,
                              .head_dim = b_.head_dim,
                              .scale = 1.0F / std::sqrt(static_cast<float>(b_.head_dim)),
                              .window = b_.window,
                              .cache_layer = {i},
                              .out = mixed});
    }
    ops.push_back(SelectRows{.in = mixed, .out = recording.logits});
    return recording;
  }

 private:
  Device& device_;
  AttentionBench b_;
  MatrixId table_;
  VectorId ones_;
};

/// One measurement: `sequences` sequences of `each` tokens behind `context`.
struct Point {
  uint32_t sequences = 1, each = 1, context = 0;

  /// Keys that all tokens see together, and those that must be read when each sequence reads its own once.
  uint64_t keys_seen(uint32_t window) const {
    uint64_t sum = 0;
    for (uint32_t i = 0; i < each; ++i) sum += window > 0 ? std::min(window, context + i + 1) : context + i + 1;
    return sequences * sum;
  }
  uint64_t keys_read(uint32_t window) const {
    const uint32_t all = context + each;
    return uint64_t{sequences} * (window > 0 ? std::min(window + each - 1, all) : all);
  }
};

Result<void> measure(VulkanDevice& device, const AttentionLayers& model, const AttentionBench& b, const Point& point) {
  const Step step(point.sequences, point.each, point.context);
  uint32_t blocks = 0;
  for (const auto& table : step.tables) blocks += static_cast<uint32_t>(table.size());
  const CacheLayerSpec layer = {.group = 0, .kind = KeysAndValues{b.kv_heads, b.head_dim}};
  const uint64_t layer_bytes = device.cache_block_bytes(layer) * blocks;
  const auto what = fmt::format("{:3} x {:5} tokens behind {:6}", point.sequences, point.each, point.context);
  if (layer_bytes > kMostLayerBytes) {
    fmt::print("  {}: the cache of a layer would be {:.1f} GB\n", what, static_cast<double>(layer_bytes) / 1e9);
    return {};
  }
  // Many layers, so that the caches together leave no room in the device's own cache for all of them.
  const auto layers = static_cast<uint32_t>(std::clamp<uint64_t>(kMostCacheBytes / layer_bytes, 3, kMostLayers));
  CacheSpec cache = {.layers = {}, .blocks_per_group = {blocks}};
  cache.layers.resize(layers, layer);
  if (auto made = device.create_cache(cache); !made) return made;
  const auto tokens = static_cast<uint32_t>(step.ids.size());
  std::vector<double> seconds;
  for (const uint32_t count : {1U, layers}) {
    auto program =
        device.compile(model.record(count), {.tokens = tokens, .logit_rows = tokens, .sequences = point.sequences});
    if (!program) return pass_on(program);
    seconds.push_back(seconds_of_step(**program, step, b.repeat));
  }
  const double each = (seconds[1] - seconds[0]) / (layers - 1);
  const double bytes = static_cast<double>(point.keys_read(b.window)) * b.kv_heads * b.head_dim * 4;
  const double operations = 4.0 * static_cast<double>(point.keys_seen(b.window)) * b.heads * b.head_dim;
  fmt::print("  {}: {:9.2f} us a layer, {:7.1f} GB/s of K and V, {:6.2f} TFLOPS\n", what, each * 1e6,
             bytes / each / 1e9, operations / each / 1e12);
  std::fflush(stdout);
  return {};
}

Result<void> measure_all(const AttentionBench& b) {
  auto device = open_vulkan_device({.index = b.device});
  if (!device) return pass_on(device);
  fmt::print("{}: {}\n", (*device)->info().name, (*device)->info().description);
  fmt::print("attention alone: {} heads, {} KV heads of {}, window {}\n", b.heads, b.kv_heads, b.head_dim, b.window);
  AttentionLayers model(**device, b);
  if (auto loaded = model.load(); !loaded) return loaded;
  for (const std::string& tuning : b.tunings.empty() ? std::vector<std::string>{""} : b.tunings) {
    if (auto set = (*device)->set_tuning(tuning); !set) return set;
    fmt::print("tuning '{}'\n", tuning);
    for (const uint32_t context : b.contexts) {
      for (const uint32_t sequences : b.sequences) {
        for (const uint32_t rows : b.rows) {
          if (auto done = measure(**device, model, b, {sequences, rows, context}); !done) return done;
        }
      }
    }
    for (const uint32_t prompt : b.prompts) {
      if (auto done = measure(**device, model, b, {1, prompt, 0}); !done) return done;
    }
  }
  return {};
}

}  // namespace

int run_attention_bench(const AttentionBench& bench) {
  if (auto done = measure_all(bench); !done) {
    fmt::print(stderr, "{}\n", to_string(done.error()));
    return done.error().code == ErrorCode::invalid_argument ? 2 : 1;
  }
  return 0;
}

}  // namespace hearth::vulkan
