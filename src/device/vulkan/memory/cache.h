#pragma once

#include <vector>

#include "device/device.h"
#include "device/vulkan/memory/memory.h"

namespace hearth::vulkan {

/// What layers remember: K and V in f16, for each layer [blocks, kv_heads, 2 (K, V), kBlockTokens, head_dim], so that
/// the keys of one head in a block are one run of memory; latent rows in f16 [blocks, kBlockTokens, width]; states in
/// float32 [blocks, values].
class Cache {
 public:
  /// Device::create_cache. Errors: unsupported (a head_dim or a row's width that is no multiple of 8), out_of_memory.
  Result<void> create(const Gpu& gpu, const CacheSpec& spec);

  static uint64_t block_bytes(const CacheLayerSpec& layer) { return cache_block_bytes(layer, sizeof(uint16_t)); }

  const Slice& layer(uint32_t number) const { return arena_.slice(number); }
  const CacheLayerSpec& spec(uint32_t layer) const { return spec_.layers[layer]; }
  uint32_t group(uint32_t layer) const { return spec_.layers[layer].group; }
  uint32_t groups() const { return static_cast<uint32_t>(spec_.blocks_per_group.size()); }
  uint32_t blocks(uint32_t group) const { return spec_.blocks_per_group[group]; }
  const std::vector<uint32_t>& blocks_per_group() const { return spec_.blocks_per_group; }
  bool keeps_states(uint32_t group) const { return spec_.keeps_states(group); }
  bool keeps_positions(uint32_t group) const { return spec_.keeps_positions(group); }

 private:
  CacheSpec spec_ = {};
  Arena arena_;
};

}  // namespace hearth::vulkan
