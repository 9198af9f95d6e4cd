#pragma once

#include "device/device.h"
#include "device/vulkan/memory.h"

namespace hearth::vulkan {

/// The paged KV cache in f16: for each layer [blocks, kv_heads, 2 (K, V), kBlockTokens, head_dim], so that the keys of
/// one head in a block are one run of memory.
class Cache {
 public:
  /// Errors: unsupported (a head_dim that is no multiple of 8), out_of_memory.
  Result<void> create(const Gpu& gpu, const CacheSpec& spec);

  static uint64_t bytes_per_token(const CacheLayerSpec& layer) {
    return uint64_t{2} * layer.kv_heads * layer.head_dim * sizeof(uint16_t);
  }

  const Slice& layer(uint32_t number) const { return arena_.slice(number); }
  uint32_t group(uint32_t layer) const { return spec_.layers[layer].group; }
  uint32_t groups() const { return static_cast<uint32_t>(spec_.blocks_per_group.size()); }
  uint32_t blocks(uint32_t group) const { return spec_.blocks_per_group[group]; }

 private:
  CacheSpec spec_;
  Arena arena_;
};

}  // namespace hearth::vulkan
