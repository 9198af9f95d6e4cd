#pragma once

#include <cstdint>
#include <optional>

#include "device/vulkan/gpu/gpu_properties.h"

// Which of a device's matrix units hearth's shaders can use, whatever a tuning chooses.
namespace hearth::vulkan {

/// Of a stage's depth of 1 (shaders/matrix_tokens.glsl).
constexpr uint32_t kDepthBytes = 32;

/// Most tokens of a tile of workgroup matrices: activations as halves have places for whole tiles.
constexpr uint32_t kMostTileTokens = 256;

/// What matrices multiply.
struct MatrixNumbers {
  const char* inputs;    ///< CooperativeMatrixShape::inputs
  const char* results;   ///< CooperativeMatrixShape::results
  uint32_t value_bytes;  ///< of an input, in shared memory
};
constexpr MatrixNumbers kBytesToIntegers = {"i8", "i32", 1};
constexpr MatrixNumbers kHalvesToFloats = {"f16", "f32", 2};

/// The largest shape that divides tiles of 16 rows and of `tokens` tokens, and a stage's depth.
std::optional<CooperativeMatrixShape> matrix_shape(const GpuProperties& gpu, const MatrixNumbers& numbers,
                                                   uint32_t tokens);

/// The shape of f16, with sums in f32, for workgroups of `threads`, or of the nearest number of threads that the device
/// has them for; null where it has none.
const WorkgroupMatrixShape* workgroup_matrix_shape(const GpuProperties& gpu, uint32_t threads);

/// Whether the device has matrices for halves (shaders/half_matrix_tokens.glsl).
bool multiplies_halves(const GpuProperties& gpu);

/// Whether the device has matrices of a whole workgroup, of f16 with sums in f32, and all else that the shaders need.
bool has_workgroup_matrices(const GpuProperties& gpu);

/// Whether matrices of any kind take halves: activations need places as such, and blocks may be decoded.
bool takes_halves(const GpuProperties& gpu);

}  // namespace hearth::vulkan
