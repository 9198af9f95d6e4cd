#pragma once

#include <cstdint>
#include <vector>

#include "base/result.h"
#include "device/cpu/memory.h"
#include "device/device.h"
#include "device/step.h"

namespace hearth::cpu {

/// The paged KV cache in f16. One block of one head of one layer is K transposed, [head_dim][16 positions], so that a
/// vector holds one dimension of 16 keys, and V as it comes, [16 positions][head_dim]. Blocks nobody wrote take no
/// memory. Blocks are written and read from many threads; a program's order of operations keeps them apart.
class PagedCache {
 public:
  PagedCache() = default;

  /// Errors: unsupported (a head size that is not a multiple of 16), out_of_memory.
  static Result<PagedCache> create(const CacheSpec& spec);

  static uint64_t bytes_per_token(const CacheLayerSpec& layer) {
    return uint64_t{2} * layer.kv_heads * layer.head_dim * sizeof(uint16_t);
  }

  uint32_t layer_count() const { return static_cast<uint32_t>(layers_.size()); }
  const CacheLayerSpec& layer(uint32_t index) const { return layers_[index].spec; }
  uint32_t group_count() const { return static_cast<uint32_t>(groups_.size()); }
  uint32_t block_count(uint32_t group) const { return groups_[group].blocks; }

  uint16_t* keys(uint32_t layer, uint32_t block, uint32_t kv_head) const {
    const Layer& l = layers_[layer];
    const Group& group = groups_[l.spec.group];
    return reinterpret_cast<uint16_t*>(group.memory.data() + block * group.block_bytes + l.offset) +
           kv_head * l.head_values;
  }
  uint16_t* values(uint32_t layer, uint32_t block, uint32_t kv_head) const {
    return keys(layer, block, layers_[layer].spec.kv_heads + kv_head);
  }

 private:
  struct Layer {
    CacheLayerSpec spec;
    size_t offset = 0;       ///< bytes into a block
    size_t head_values = 0;  ///< of one head's K or V in a block
  };
  struct Group {
    Mapping memory;
    uint32_t blocks = 0;
    size_t block_bytes = 0;  ///< of all its layers
  };

  std::vector<Layer> layers_;
  std::vector<Group> groups_;
};

}  // namespace hearth::cpu
