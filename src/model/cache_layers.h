#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "device/device.h"
#include "model/decoder_config.h"

namespace hearth {

/// Layers that share block numbers: attention layers that remember the same positions, or all that keep a state.
struct CacheGroup {
  uint32_t window = 0;           ///< positions that its layers see; 0 is all of them
  bool keeps_states = false;     ///< instead of positions: a block holds one state (State, device/cache_spec.h)
  uint64_t bytes_per_block = 0;  ///< of one block in all layers of the group
};

/// What the layers of a decoder remember of a sequence, in their order, and in which groups; without bytes. Layers that
/// read another's K and V have none.
struct CacheLayers {
  std::vector<CacheLayerSpec> layers;
  std::vector<CacheGroup> groups;  ///< in the order of first use
};
CacheLayers cache_layers_of(const DecoderConfig& config);

/// Of a sequence: the one that its next step starts from, and one to be written beside it.
inline constexpr uint32_t kStatesOfSequence = 2;

/// Blocks of a group that one sequence of `tokens` needs, computed in steps of at most `step_tokens`.
uint64_t cache_blocks_needed(const CacheGroup& group, uint32_t tokens, uint32_t step_tokens);

/// Bytes that one token of a sequence reads behind `context` tokens, where a block of a group has bytes_per_block:
/// windowed layers read their window only, states are read and written.
double cache_bytes_read(std::span<const CacheGroup> groups, double context);

}  // namespace hearth
