#pragma once

#include <optional>

#include "device/vulkan/gpu/gpu.h"
#include "device/vulkan/memory/weight_layout.h"
#include "device/vulkan/paths/tuning.h"

namespace hearth::vulkan {

/// How one matmul runs on cooperative matrices that are filled in registers (shaders/fragment_tokens.glsl).
struct FragmentPlan {
  FragmentTuning tuning;
  FragmentLayout layout;
  bool joined = false;          ///< all loads of a group wait together
  uint32_t token_tiles = 1;     ///< matrices of tokens of a subgroup
  uint32_t pieces_at_once = 1;  ///< of 16 bytes, of each of these, that a lane loads together
  uint32_t threads = 0;
  uint32_t rows = 0;    ///< of each matrix, of a workgroup
  uint32_t tokens = 0;  ///< of a workgroup
};

/// Values that workgroups which share rows may leave for the last of them, and tiles of results that they may share.
inline constexpr uint32_t kMostSharedValues = 1U << 21;
inline constexpr uint32_t kMostSharedTiles = 4096;

/// The matrices for a bucket of `tokens` tokens; nothing where the tuning takes another path or the device's matrices
/// are not known. The same for all matrices of weights, which share what make_fragments.comp makes.
std::optional<FragmentLayout> fragments_for(const GpuProperties& gpu, const Tuning& tuning, uint32_t tokens);

/// The plan, made to fit the device's shared memory, threads and registers; nothing for plain weights and for blocks
/// that halves cannot be made of. `matrices` is 2 for gate and up.
std::optional<FragmentPlan> plan_fragments(const GpuProperties& gpu, const Tuning& tuning, const WeightLayout& layout,
                                           uint32_t matrices, uint32_t tokens);

/// Groups of blocks that a row of `blocks` is cut into, the last one filled up.
uint32_t fragment_groups(const FragmentLayout& layout, uint32_t blocks);

}  // namespace hearth::vulkan
