#include "device/vulkan/memory/cache.h"

#include <fmt/format.h>

#include <algorithm>

#include "device/step.h"
#include "device/vulkan/shaders/layout.h"

namespace hearth::vulkan {

static_assert(kBlockTokens == shared::kCacheBlockTokens);

namespace {

Result<void> check_kind(const CacheLayerSpec& layer) {
  const auto* kv = std::get_if<KeysAndValues>(&layer.kind);
  const auto* latents = std::get_if<LatentRows>(&layer.kind);
  const uint32_t values = kv != nullptr ? kv->head_dim : latents != nullptr ? latents->width : 0;
  if (values % 8 == 0) return {};
  return fail(ErrorCode::unsupported,
              fmt::format("{} of {} values; the Vulkan device takes multiples of 8",
                          kv != nullptr ? "heads" : "latent rows", values),
              "use --device cpu");
}

}  // namespace

Result<void> Cache::create(const Gpu& gpu, const CacheSpec& spec) {
  arena_ = {};
  Arena arena;
  for (const CacheLayerSpec& layer : spec.layers) {
    if (auto fits = check_kind(layer); !fits) return fits;
    const uint64_t bytes = block_bytes(layer) * spec.blocks_per_group[layer.group];
    if (bytes > Arena::largest_slice(gpu.properties())) {
      return fail(ErrorCode::out_of_memory,
                  fmt::format("the KV cache of one layer takes {:.1f} GB, more than one buffer of the device holds",
                              static_cast<double>(bytes) / 1e9),
                  "use a shorter context or fewer sequences");
    }
    arena.reserve(std::max<uint64_t>(bytes, 1));
  }
  if (auto made = arena.commit(gpu, Placement::device_only, MemoryOwner::cache); !made) return made;
  spec_ = spec;
  arena_ = std::move(arena);
  return {};
}

}  // namespace hearth::vulkan
