#include "device/vulkan/gpu/cooperative_matrices.h"

#include <algorithm>

namespace hearth::vulkan {

std::optional<CooperativeMatrixShape> matrix_shape(const GpuProperties& gpu, const MatrixNumbers& numbers,
                                                   uint32_t tokens) {
  std::optional<CooperativeMatrixShape> best;
  for (const CooperativeMatrixShape& shape : gpu.cooperative_matrices) {
    const bool usable = shape.inputs == numbers.inputs && shape.results == numbers.results && 16 % shape.m == 0 &&
                        16 % shape.n == 0 && tokens % shape.n == 0 &&
                        kDepthBytes / numbers.value_bytes % shape.k == 0 && shape.k >= 8;
    const auto size = [](const CooperativeMatrixShape& s) { return s.m * s.n * s.k; };
    if (usable && (!best || size(shape) > size(*best))) best = shape;
  }
  return best;
}

const WorkgroupMatrixShape* workgroup_matrix_shape(const GpuProperties& gpu, uint32_t threads) {
  if (!gpu.float16 || !gpu.storage_16bit) return nullptr;
  const WorkgroupMatrixShape* best = nullptr;
  const auto distance = [&](const WorkgroupMatrixShape& shape) {
    return std::max(shape.threads, threads) - std::min(shape.threads, threads);
  };
  for (const WorkgroupMatrixShape& shape : gpu.workgroup_matrices) {
    const bool usable = shape.inputs == "f16" && shape.results == "f32" && shape.threads > 0 &&
                        shape.threads % gpu.subgroup_size == 0 && shape.threads <= gpu.max_workgroup_threads &&
                        shape.threads <= gpu.workgroup_matrix_threads && kMostTileTokens % shape.n == 0;
    if (usable && (best == nullptr || distance(shape) < distance(*best))) best = &shape;
  }
  return best;
}

bool multiplies_halves(const GpuProperties& gpu) { return gpu.float16 && matrix_shape(gpu, kHalvesToFloats, 16); }

bool has_workgroup_matrices(const GpuProperties& gpu) { return workgroup_matrix_shape(gpu, 256) != nullptr; }

bool takes_halves(const GpuProperties& gpu) { return multiplies_halves(gpu) || has_workgroup_matrices(gpu); }

}  // namespace hearth::vulkan
