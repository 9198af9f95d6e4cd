#pragma once

#include <algorithm>
#include <cstdint>
#include <variant>
#include <vector>

#include "device/operation_parts.h"
#include "device/step.h"

// What layers remember of a sequence, kept by a device from step to step.
namespace hearth {

/// K and V of every position, in blocks of kBlockTokens positions.
struct KeysAndValues {
  uint32_t kv_heads = 0;
  uint32_t head_dim = 0;
};

/// One row of `width` values for every position, which all heads read as keys and in part as values (latent attention),
/// in blocks of kBlockTokens positions.
struct LatentRows {
  uint32_t width = 0;
};

/// What a recurrent layer knows of all tokens so far: so many float32 values, whatever their number. One block holds
/// one state, of one sequence after one of its tokens.
struct State {
  uint32_t values = 0;
};

/// What one layer remembers.
struct CacheLayerSpec {
  uint32_t group = 0;  ///< layers of a group share block numbers, and are all States or none of them is
  std::variant<KeysAndValues, LatentRows, State> kind;
  uint32_t layer = 0;  ///< the decoder's
};

/// Group g has blocks_per_group[g] blocks in each of its layers.
struct CacheSpec {
  std::vector<CacheLayerSpec> layers;
  std::vector<uint32_t> blocks_per_group;

  /// Whether it has layers, and they keep states; positions.
  bool keeps_states(uint32_t group) const { return has_layer(group, true); }
  bool keeps_positions(uint32_t group) const { return has_layer(group, false); }

 private:
  bool has_layer(uint32_t group, bool with_state) const {
    return std::ranges::any_of(layers, [&](const CacheLayerSpec& layer) {
      return layer.group == group && std::holds_alternative<State>(layer.kind) == with_state;
    });
  }
};

/// Bytes of a block of a layer where keys and values are numbers of `value_bytes`.
inline uint64_t cache_block_bytes(const CacheLayerSpec& layer, uint64_t value_bytes) {
  return std::visit(
      Overloaded{
          [&](const KeysAndValues& kv) { return uint64_t{2} * kBlockTokens * kv.kv_heads * kv.head_dim * value_bytes; },
          [&](const LatentRows& rows) { return uint64_t{kBlockTokens} * rows.width * value_bytes; },
          [](const State& state) { return uint64_t{state.values} * sizeof(float); }},
      layer.kind);
}

}  // namespace hearth
