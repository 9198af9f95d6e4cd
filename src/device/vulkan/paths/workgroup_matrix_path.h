#pragma once

#include <optional>

#include "device/vulkan/gpu/gpu.h"
#include "device/vulkan/memory/weight_layout.h"
#include "device/vulkan/paths/tuning.h"

namespace hearth::vulkan {

/// How one matmul runs on cooperative matrices of a whole workgroup (shaders/workgroup_matrix_tokens.glsl).
struct WorkgroupMatrixPlan {
  uint32_t threads = 0;
  uint32_t tile_rows = 0;  ///< of one matrix
  uint32_t tile_tokens = 0;
  uint32_t depth = 0;       ///< columns of a round
  bool whole_rows = false;  ///< the weights are whole tiles
};

/// The plan for a bucket of `tokens` tokens, made to fit the device; nothing where the tuning or the device has none,
/// and for weights in f32. `matrices` is 2 for gate and up.
std::optional<WorkgroupMatrixPlan> plan_workgroup_matrices(const GpuProperties& gpu, const Tuning& tuning,
                                                           const WeightLayout& layout, uint32_t matrices,
                                                           uint32_t tokens);

}  // namespace hearth::vulkan
