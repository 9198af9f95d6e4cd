#pragma once

#include <cstdint>
#include <vector>

#include "base/result.h"
#include "device/cpu/memory.h"
#include "device/device.h"
#include "device/step.h"

namespace hearth::cpu {

/// What layers remember, in blocks. Keys and values are f16: one block of one head of one layer is K transposed,
/// [head_dim][16 positions], so that a vector holds one dimension of 16 keys, and V as it comes, [16
/// positions][head_dim]. States are float32. Blocks nobody wrote take no memory. Blocks are written and read from many
/// threads; a program's order of operations keeps them apart.
class PagedCache {
 public:
  PagedCache() = default;

  /// Errors: unsupported (a head size that is not a multiple of 16), out_of_memory.
  static Result<PagedCache> create(const CacheSpec& spec);

  static uint64_t block_bytes(const CacheLayerSpec& layer) { return cache_block_bytes(layer, sizeof(uint16_t)); }

  uint32_t layer_count() const { return static_cast<uint32_t>(layers_.size()); }
  const CacheLayerSpec& layer(uint32_t index) const { return layers_[index].spec; }
  uint32_t group_count() const { return static_cast<uint32_t>(groups_.size()); }
  uint32_t block_count(uint32_t group) const { return groups_[group].blocks; }
  uint64_t bytes() const;  ///< reserved

  uint16_t* keys(uint32_t layer, uint32_t block, uint32_t kv_head) const {
    return reinterpret_cast<uint16_t*>(at(layer, block)) + kv_head * layers_[layer].head_values;
  }
  uint16_t* values(uint32_t layer, uint32_t block, uint32_t kv_head) const {
    return keys(layer, block, layers_[layer].kv_heads + kv_head);
  }
  float* state(uint32_t layer, uint32_t block) const { return reinterpret_cast<float*>(at(layer, block)); }

 private:
  struct Layer {
    CacheLayerSpec spec;
    size_t offset = 0;       ///< bytes into a block
    uint32_t kv_heads = 0;   ///< of keys and values
    size_t head_values = 0;  ///< of one head's K or V in a block
  };
  struct Group {
    Mapping memory;
    uint32_t blocks = 0;
    size_t block_bytes = 0;  ///< of all its layers
  };

  std::byte* at(uint32_t layer, uint32_t block) const {
    const Group& group = groups_[layers_[layer].spec.group];
    return group.memory.data() + block * group.block_bytes + layers_[layer].offset;
  }

  std::vector<Layer> layers_;
  std::vector<Group> groups_;
};

}  // namespace hearth::cpu
