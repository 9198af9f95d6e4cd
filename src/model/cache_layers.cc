#include "model/cache_layers.h"

#include <algorithm>
#include <optional>

#include "device/step.h"

namespace hearth {
namespace {

/// What one layer remembers, and which group it belongs to.
struct Remembered {
  decltype(CacheLayerSpec::kind) kind;
  uint32_t window = 0;

  bool belongs_to(const CacheGroup& group) const {
    const bool is_state = std::holds_alternative<State>(kind);
    return group.keeps_states == is_state && (is_state || group.window == window);
  }
};

std::optional<Remembered> remembered_by(const AttentionConfig& c) {
  if (c.reads_layer) return {};
  return Remembered{KeysAndValues{c.kv_heads, c.head_dim}, c.window};
}
std::optional<Remembered> remembered_by(const LatentAttentionConfig& c) {
  return Remembered{LatentRows{c.row_width()}};
}
std::optional<Remembered> remembered_by(const RemembersByState auto& c) {
  return Remembered{State{static_cast<uint32_t>(c.state_values())}};
}
std::optional<Remembered> remembered_by(const NoMixer&) { return {}; }

}  // namespace

CacheLayers cache_layers_of(const DecoderConfig& config) {
  CacheLayers all;
  for (uint32_t i = 0; i < config.layers.size(); ++i) {
    const auto it = std::visit([](const auto& mixer) { return remembered_by(mixer); }, config.layers[i].mixer);
    if (!it) continue;
    auto group = std::ranges::find_if(all.groups, [&](const CacheGroup& g) { return it->belongs_to(g); });
    if (group == all.groups.end()) {
      const CacheGroup its_own = {.window = it->window, .keeps_states = std::holds_alternative<State>(it->kind)};
      group = all.groups.insert(all.groups.end(), its_own);
    }
    all.layers.push_back({.group = static_cast<uint32_t>(group - all.groups.begin()), .kind = it->kind, .layer = i});
  }
  return all;
}

uint64_t cache_blocks_needed(const CacheGroup& group, uint32_t tokens, uint32_t step_tokens) {
  const auto blocks_of = [](uint64_t positions) { return (positions + kBlockTokens - 1) / kBlockTokens; };
  if (group.keeps_states) return tokens > 0 ? kStatesOfSequence : 0;
  if (group.window == 0) return blocks_of(tokens);
  return std::min(blocks_of(tokens), blocks_of(uint64_t{group.window} + step_tokens) + 1);
}

double cache_bytes_read(std::span<const CacheGroup> groups, double context) {
  double sum = 0;
  for (const CacheGroup& group : groups) {
    if (group.keeps_states) {
      sum += 2 * static_cast<double>(group.bytes_per_block);
      continue;
    }
    const double seen = group.window > 0 ? std::min<double>(context, group.window) : context;
    sum += seen * static_cast<double>(group.bytes_per_block) / kBlockTokens;
  }
  return sum;
}

}  // namespace hearth
