#pragma once

#include <cstdint>

#include "device/vulkan/gpu_properties.h"
#include "device/vulkan/tuning.h"

namespace hearth::vulkan {

/// How one matmul runs in the few-token shaders (shaders/few_tokens.glsl).
struct FewPlan {
  FewTokensTuning tuning;
  uint32_t threads = 0;  ///< of a workgroup
  uint32_t outputs = 0;  ///< rows of each matrix that a workgroup computes
};

/// What `wanted` becomes on this device, for `tokens` tokens: fewer rows at once where many tokens or plain weights
/// would not fit in registers, fewer subgroups where their sums would not fit in shared memory. Any `wanted` gives a
/// plan that runs. `matrices` is 2 for gate and up.
FewPlan plan_few_path(const GpuProperties& gpu, const FewTokensTuning& wanted, uint32_t most_sums, uint32_t encoding,
                      uint32_t matrices, uint32_t tokens);

}  // namespace hearth::vulkan
