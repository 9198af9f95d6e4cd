#pragma once

#include <cstdint>

#include "device/vulkan/gpu/gpu_properties.h"
#include "device/vulkan/paths/tuning.h"

namespace hearth::vulkan {

/// How one matmul runs in the few-token shaders (shaders/few_tokens.glsl).
struct FewPlan {
  FewTokensTuning tuning;
  uint32_t threads = 0;  ///< of a workgroup
  uint32_t outputs = 0;  ///< rows of each matrix that a workgroup computes
};

/// Tokens that a workgroup takes of a bucket of `tokens`: all of them, or where they may be any number because the
/// tuning is batch-invariant, an equal part.
uint32_t workgroup_tokens(const Tuning& tuning, uint32_t tokens);

/// What `wanted` becomes on this device, for `tokens` tokens of a workgroup, at most 16: fewer rows at once where many
/// tokens or plain weights would not fit in registers, fewer subgroups where their sums would not fit in shared memory.
/// Any `wanted` gives a plan that runs. `cluster` and `split`, on which the order of a sum depends, are the same for
/// all counts of tokens: with one row of each cluster, sums fit into the 16 KiB that every device has. `matrices` is 2
/// for gate and up.
FewPlan plan_few_path(const GpuProperties& gpu, const FewTokensTuning& wanted, uint32_t most_sums, uint32_t encoding,
                      uint32_t matrices, uint32_t tokens);

}  // namespace hearth::vulkan
