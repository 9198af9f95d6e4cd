#pragma once

#include <optional>

#include "device/vulkan/gpu.h"
#include "device/vulkan/tuning.h"

namespace hearth::vulkan {

/// How one matmul runs on cooperative matrices.
struct MatrixPlan {
  MatrixTuning tuning;
  uint32_t subgroups = 0;        ///< of a workgroup
  CooperativeMatrixShape shape;  ///< i8 to i32
};

/// The plan for a bucket of `tokens` tokens, made to fit the device's shared memory and threads; nothing where the
/// device multiplies no signed bytes or the encoding is not in blocks. `matrices` is 2 for gate and up; a row has
/// `blocks` blocks.
std::optional<MatrixPlan> plan_matrix_path(const GpuProperties& gpu, const Tuning& tuning, uint32_t encoding,
                                           uint32_t matrices, uint32_t tokens, uint32_t blocks);

}  // namespace hearth::vulkan
