#include "device/vulkan/paths/workgroup_matrix_path.h"

#include <algorithm>

#include "device/vulkan/gpu/cooperative_matrices.h"
#include "device/vulkan/shaders/layout.h"

namespace hearth::vulkan {
namespace {

/// Sums of a thread in registers: more would leave none for anything else.
constexpr uint32_t kMostSums = 128;
constexpr uint32_t kMostTileRows = 256;

/// `wanted`, at most what `needed` needs, as whole multiples of `step`.
uint32_t fit(uint32_t wanted, uint32_t needed, uint32_t step) {
  return divide_up(std::min(wanted, needed), step) * step;
}

}  // namespace

std::optional<WorkgroupMatrixPlan> plan_workgroup_matrices(const GpuProperties& gpu, const Tuning& tuning,
                                                           const WeightLayout& layout, uint32_t matrices,
                                                           uint32_t tokens) {
  const WorkgroupMatrixTuning& wanted = tuning.workgroup_matrix;
  if (wanted.from_tokens == 0 || tokens < wanted.from_tokens || tokens <= tuning.few_tokens_limit) return {};
  if (tuning.many_tokens_path != static_cast<uint32_t>(ManyTokensPath::best)) return {};
  const WorkgroupMatrixShape* shape = workgroup_matrix_shape(gpu, wanted.threads);
  if (shape == nullptr || layout.encoding == shared::kEncodingF32 || !layout.decodable) return {};
  WorkgroupMatrixPlan plan = {
      .threads = shape->threads,
      .tile_rows = fit(std::min(wanted.tile_rows, kMostTileRows) / matrices, layout.rows, shape->m),
      .tile_tokens = fit(std::min(wanted.tile_tokens, kMostTileTokens), tokens, shape->n),
      .depth = fit(wanted.depth, layout.cols, shape->k)};
  while (plan.depth > shape->k && layout.cols % plan.depth != 0) plan.depth -= shape->k;
  const auto sums = [&] { return matrices * plan.tile_rows * plan.tile_tokens / plan.threads; };
  while (sums() > kMostSums && plan.tile_tokens > shape->n) plan.tile_tokens -= shape->n;
  while (sums() > kMostSums && plan.tile_rows > shape->m) plan.tile_rows -= shape->m;
  if (sums() > kMostSums || layout.cols % plan.depth != 0) return {};
  // Tiles lie side by side from the first token on, and the places for activations are whole tiles of the most tokens.
  while (kMostTileTokens % plan.tile_tokens != 0) plan.tile_tokens -= shape->n;
  plan.whole_rows = layout.rows % plan.tile_rows == 0;
  return plan;
}

}  // namespace hearth::vulkan
