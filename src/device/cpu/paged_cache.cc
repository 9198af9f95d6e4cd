#include "device/cpu/paged_cache.h"

#include <fmt/format.h>

namespace hearth::cpu {

Result<PagedCache> PagedCache::create(const CacheSpec& spec) {
  PagedCache cache;
  cache.groups_.resize(spec.blocks_per_group.size());
  for (const CacheLayerSpec& layer : spec.layers) {
    if (layer.group >= cache.groups_.size()) {
      return fail(ErrorCode::internal,
                  fmt::format("a cache layer belongs to group {} of {}", layer.group, cache.groups_.size()));
    }
    Group& group = cache.groups_[layer.group];
    Layer placed = {.spec = layer, .offset = group.block_bytes};
    if (const auto* kv = std::get_if<KeysAndValues>(&layer.kind)) {
      if (kv->head_dim == 0 || kv->head_dim % 16 != 0) {
        return fail(ErrorCode::unsupported,
                    fmt::format("attention heads of {} dimensions: the CPU takes multiples of 16", kv->head_dim),
                    "use --device reference");
      }
      placed.kv_heads = kv->kv_heads;
      placed.head_values = size_t{kv->head_dim} * kBlockTokens;
    }
    cache.layers_.push_back(placed);
    group.block_bytes += block_bytes(layer);
  }
  for (size_t g = 0; g < cache.groups_.size(); ++g) {
    Group& group = cache.groups_[g];
    group.blocks = spec.blocks_per_group[g];
    auto memory = Mapping::reserve(group.blocks * group.block_bytes, "the KV cache");
    if (!memory) return pass_on(memory);
    group.memory = std::move(*memory);
  }
  return cache;
}

uint64_t PagedCache::bytes() const {
  uint64_t sum = 0;
  for (const Group& group : groups_) sum += group.blocks * group.block_bytes;
  return sum;
}

}  // namespace hearth::cpu
