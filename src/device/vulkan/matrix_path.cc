#include "device/vulkan/matrix_path.h"

#include <algorithm>

#include "device/vulkan/shaders/layout.h"
#include "device/vulkan/weight_layout.h"

namespace hearth::vulkan {
namespace {

/// The largest shape that divides tiles of 16 and blocks of 32 values.
std::optional<CooperativeMatrixShape> byte_shape(const GpuProperties& gpu) {
  std::optional<CooperativeMatrixShape> best;
  for (const CooperativeMatrixShape& shape : gpu.cooperative_matrices) {
    const bool usable = shape.inputs == "i8" && shape.results == "i32" && 16 % shape.m == 0 && 16 % shape.n == 0 &&
                        32 % shape.k == 0 && shape.k >= 8;
    const auto size = [](const CooperativeMatrixShape& s) { return s.m * s.n * s.k; };
    if (usable && (!best || size(shape) > size(*best))) best = shape;
  }
  return best;
}

/// Whether subgroups take turns along the row instead of sharing a tile.
bool take_turns(const MatrixTuning& t) { return t.tile_rows == t.sub_rows && t.tile_tokens == t.sub_tokens; }

/// Bytes of shared memory; the arrays of shaders/matrix_tokens.glsl.
uint64_t shared_bytes(const MatrixTuning& t, const CooperativeMatrixShape& shape, uint32_t encoding) {
  const bool halves = encoding == shared::kEncodingQ6_K;
  const uint64_t weight_octets = halves && shape.k > 16 ? 8 : 4;
  const uint64_t weights = uint64_t{t.tile_rows} * (t.depth * weight_octets + 2) * 8;
  const uint64_t vectors = uint64_t{t.tile_tokens} * (t.depth * 4 + 2) * 8;
  const uint64_t scales = uint64_t{t.depth} * 4 * (2 * t.tile_rows + 2 * t.tile_tokens);  // with halves or offsets
  const uint64_t stages = take_turns(t) ? t.subgroups : 1;
  return stages * (weights + vectors + scales) + uint64_t{t.subgroups} * shape.m * shape.n * 4;
}

/// Sums that a lane holds in registers.
uint32_t sums_of_lane(const MatrixTuning& t, uint32_t lanes) { return t.sub_rows * t.sub_tokens / lanes; }
constexpr uint32_t kMostSums = 64;

const MatrixTuning& tuning_for(const Tuning& tuning, uint32_t tokens) {
  if (tokens <= 16) return tuning.matrix16;
  if (tokens <= 32) return tuning.matrix32;
  return tokens <= 64 ? tuning.matrix64 : tuning.matrix;
}

}  // namespace

std::optional<MatrixPlan> plan_matrix_path(const GpuProperties& gpu, const Tuning& tuning, uint32_t encoding,
                                           uint32_t matrices, uint32_t tokens) {
  if (!uses_quantized_activations(encoding) || tuning.many_tokens_path == static_cast<uint32_t>(ManyTokensPath::dot)) {
    return {};
  }
  const auto shape = byte_shape(gpu);
  if (!shape) return {};
  MatrixTuning t = tuning_for(tuning, tokens);
  t.sub_rows = std::max(t.sub_rows, matrices * shape->m);
  while (sums_of_lane(t, gpu.subgroup_size) > kMostSums && t.sub_tokens > shape->n) t.sub_tokens /= 2;
  while (sums_of_lane(t, gpu.subgroup_size) > kMostSums && t.sub_rows > matrices * shape->m) t.sub_rows /= 2;
  t.tile_rows = std::max(t.tile_rows, t.sub_rows);
  t.tile_tokens = std::max(t.tile_tokens, t.sub_tokens);
  const auto fits = [&] { return shared_bytes(t, *shape, encoding) <= gpu.shared_memory_bytes; };
  const uint32_t most_subgroups = gpu.max_workgroup_threads / gpu.subgroup_size;
  if (take_turns(t)) {
    t.subgroups = std::min(t.subgroups, most_subgroups);
    while (t.subgroups > 1 && !fits()) t.subgroups /= 2;
  } else {
    while (t.depth > 1 && !fits()) t.depth /= 2;
    while (t.tile_tokens > t.sub_tokens && !fits()) t.tile_tokens /= 2;
    t.subgroups = t.tile_rows / t.sub_rows * (t.tile_tokens / t.sub_tokens);
    // Mesa does not unroll the staging of several blocks of q6_k: they would lie in memory (RDNA3).
    const uint32_t threads = t.subgroups * gpu.subgroup_size;
    while (encoding == shared::kEncodingQ6_K && t.depth > 1 && t.tile_rows * t.depth > threads) t.depth /= 2;
  }
  if (!fits() || t.subgroups > most_subgroups) return {};
  return MatrixPlan{t, *shape};
}

}  // namespace hearth::vulkan
