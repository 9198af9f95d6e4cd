#pragma once

#include <optional>

#include "device/vulkan/gpu/gpu.h"
#include "device/vulkan/memory/weight_layout.h"
#include "device/vulkan/paths/tuning.h"

namespace hearth::vulkan {

/// How one matmul runs on cooperative matrices.
struct MatrixPlan {
  MatrixTuning tuning;
  uint32_t subgroups = 0;        ///< of a workgroup
  CooperativeMatrixShape shape;  ///< i8 to i32, or f16 to f32
  bool decoded = false;          ///< blocks, as halves
};

/// The plan for a bucket of `tokens` tokens, made to fit the device's shared memory and threads; nothing where the
/// device has no matrices for the encoding: of signed bytes for blocks, of f16 for f16 and bf16, and for blocks where
/// the tuning decodes them, none for f32. `matrices` is 2 for gate and up.
std::optional<MatrixPlan> plan_matrix_path(const GpuProperties& gpu, const Tuning& tuning, const WeightLayout& layout,
                                           uint32_t matrices, uint32_t tokens);

}  // namespace hearth::vulkan
