#include "device/vulkan/cache.h"

#include <fmt/format.h>

#include <algorithm>

#include "device/step.h"
#include "device/vulkan/shaders/layout.h"

namespace hearth::vulkan {

static_assert(kBlockTokens == shared::kCacheBlockTokens);

Result<void> Cache::create(const Gpu& gpu, const CacheSpec& spec) {
  Arena arena;
  for (const CacheLayerSpec& layer : spec.layers) {
    if (layer.head_dim % 8 != 0) {
      return fail(ErrorCode::unsupported,
                  fmt::format("heads of {} values; the Vulkan device takes multiples of 8", layer.head_dim),
                  "use --device cpu");
    }
    const uint64_t bytes = bytes_per_token(layer) * kBlockTokens * spec.blocks_per_group[layer.group];
    if (bytes > Arena::largest_slice(gpu)) {
      return fail(ErrorCode::out_of_memory,
                  fmt::format("the KV cache of one layer takes {:.1f} GB, more than one buffer of the device holds",
                              static_cast<double>(bytes) / 1e9),
                  "use a shorter context or fewer sequences");
    }
    arena.reserve(std::max<uint64_t>(bytes, 1));
  }
  if (auto made = arena.commit(gpu, Placement::device_only); !made) return made;
  spec_ = spec;
  arena_ = std::move(arena);
  return {};
}

}  // namespace hearth::vulkan
