#include "device/vulkan/paths/fragment_path.h"

#include <algorithm>
#include <bit>

namespace hearth::vulkan {
namespace {

/// Sums of a lane in registers, beside two groups of weights.
constexpr uint32_t kMostSums = 128;
constexpr uint32_t kMostTileTokens = 64;
/// That strips leave beyond so many tokens: two and more for each processor of a large card (H200).
constexpr uint32_t kLeastWorkgroups = 512;
/// Blocks of a lane in a group, of each of two groups.
constexpr uint32_t kMostBlocks = 16;

/// As many as wanted, halved until they fit; a matrix's pieces stay together. Where a group is many matrices, shaders
/// take one after another.
uint32_t pieces_at_once(const FragmentLayout& layout, uint32_t wanted, uint32_t token_tiles) {
  const uint32_t least = std::max(layout.x_components() / 8, 1U);
  const uint32_t matrices = 32 / (layout.k / layout.classes);
  if (matrices > 8) return least;
  uint32_t pieces = matrices * layout.x_components() / 8;
  while (pieces > least && pieces * token_tiles > wanted) pieces /= 2;
  return pieces;
}

/// Of a row: more would add up longer than they multiply.
constexpr uint32_t kMostShares = 8;

uint32_t padded(uint32_t tokens, uint32_t n) { return divide_up(tokens, n) * n; }

}  // namespace

uint32_t fragment_groups(const FragmentLayout& layout, uint32_t blocks) { return divide_up(blocks, layout.classes); }

std::optional<FragmentLayout> fragments_for(const GpuProperties& gpu, const Tuning& tuning, uint32_t tokens) {
  const FragmentTuning& wanted = tuning.fragments;
  if (wanted.from_tokens == 0 || tokens < wanted.from_tokens || tokens > wanted.to_tokens) return {};
  if (tuning.batch_invariant != 0) return {};
  std::optional<FragmentLayout> best;
  for (const FragmentLayout& layout : gpu.fragments) {
    // The largest that fill up no more than smaller ones, and of those as wanted.
    if (!best) {
      best = layout;
      continue;
    }
    const uint32_t all = padded(tokens, layout.n), best_all = padded(tokens, best->n);
    const bool too_large = layout.n > wanted.matrix_tokens, best_too_large = best->n > wanted.matrix_tokens;
    const auto size = [](const FragmentLayout& l) { return l.m * l.k * l.n; };
    const bool better = all != best_all               ? all < best_all
                        : too_large != best_too_large ? best_too_large
                                                      : size(layout) > size(*best);
    if (better) best = layout;
  }
  return best;
}

std::optional<FragmentPlan> plan_fragments(const GpuProperties& gpu, const Tuning& tuning, const WeightLayout& layout,
                                           uint32_t matrices, uint32_t tokens) {
  const auto fragments = fragments_for(gpu, tuning, tokens);
  if (!fragments || !uses_quantized_activations(layout.encoding)) return {};
  if (!layout.decodable || !has_one_unit(layout.range)) return {};
  FragmentPlan plan = {.tuning = tuning.fragments, .layout = *fragments};
  FragmentTuning& t = plan.tuning;
  const uint32_t m = fragments->m, n = fragments->n, lanes = gpu.subgroup_size;
  const uint32_t most_subgroups = gpu.max_workgroup_threads / lanes;
  const bool many = tokens > kMostTileTokens;
  if (many) t.strips = t.many_strips, t.teams = t.many_teams;
  t.tile_tokens = std::clamp(std::min(t.tile_tokens, padded(tokens, n)), n, kMostTileTokens);
  plan.token_tiles = t.tile_tokens / n;
  const auto sums = [&] { return matrices * t.strips * m * plan.token_tiles * n / lanes; };
  t.strips = std::max(t.strips, 1U);
  while (t.strips > 1 && (sums() > kMostSums || matrices * t.strips * fragments->slots > kMostBlocks)) t.strips /= 2;
  const auto workgroups = [&] {
    return divide_up(layout.rows, t.strips * m) * divide_up(tokens, plan.token_tiles * n);
  };
  while (many && t.strips > 1 && workgroups() < kLeastWorkgroups) t.strips /= 2;
  while (plan.token_tiles > 1 && sums() > kMostSums) plan.token_tiles = divide_up(plan.token_tiles, 2);
  const uint32_t groups = fragment_groups(*fragments, layout.blocks());
  t.teams = std::clamp(t.teams / matrices, 1U, std::min(groups, most_subgroups));
  t.row_parts = std::clamp(t.row_parts, 1U, most_subgroups / t.teams);
  const auto shared_bytes = [&] { return uint64_t{4} * matrices * t.teams * t.row_parts * m * n; };
  while (t.row_parts > 1 && shared_bytes() > gpu.shared_memory_bytes) t.row_parts /= 2;
  while (t.teams > 1 && shared_bytes() > gpu.shared_memory_bytes) t.teams /= 2;
  plan.threads = t.teams * t.row_parts * lanes;
  plan.rows = t.row_parts * t.strips * m;
  plan.tokens = plan.token_tiles * n;
  t.ahead = std::min(t.ahead, 1U);
  // More tokens have workgroups enough.
  t.shares = many || matrices > 1 ? 1 : std::clamp(t.shares, 1U, std::min(kMostShares, groups));
  const uint64_t tiles = divide_up(layout.rows, plan.rows) * uint64_t{divide_up(tokens, plan.tokens)};
  if (tiles > kMostSharedTiles) t.shares = 1;
  while (t.shares > 1 && tiles * plan.rows * plan.tokens * t.shares > kMostSharedValues) --t.shares;
  // With up to 64 tokens registers, and so workgroups at a time, are worth more, but where all loads wait together.
  plan.joined = !many && tokens <= t.joined;
  plan.pieces_at_once = pieces_at_once(*fragments, many || plan.joined ? t.pieces : 1, plan.token_tiles);
  return plan;
}

}  // namespace hearth::vulkan
