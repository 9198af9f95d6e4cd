// The laws of how matmuls are cut for matrices filled in registers, over devices, tunings and shapes; no device is
// needed.

#include "device/vulkan/paths/fragment_path.h"

#include <gtest/gtest.h>

#include <vector>

#include "device/vulkan/measuring/matmul_search.h"
#include "device/vulkan/shaders/layout.h"

namespace hearth::vulkan {
namespace {

FragmentLayout layout_of(uint32_t m, uint32_t n, uint32_t k, uint32_t classes, uint32_t slots) {
  return {.m = m, .n = n, .k = k, .classes = classes, .slots = slots, .x_lanes = 32};
}

GpuProperties gpu_of(uint32_t lanes, uint32_t shared_bytes, uint32_t threads, std::vector<FragmentLayout> fragments) {
  GpuProperties gpu;
  gpu.subgroup_size = lanes;
  gpu.shared_memory_bytes = shared_bytes;
  gpu.max_workgroup_threads = threads;
  gpu.float16 = true;
  gpu.fragments = std::move(fragments);
  return gpu;
}

GpuProperties nvidia() { return gpu_of(32, 49152, 1024, {layout_of(16, 16, 16, 4, 2), layout_of(16, 8, 16, 4, 2)}); }
GpuProperties lavapipe() { return gpu_of(8, 32768, 1024, {layout_of(8, 8, 8, 8, 8)}); }
GpuProperties small() { return gpu_of(64, 16384, 256, {layout_of(16, 16, 16, 1, 1)}); }

Tuning forced() {
  Tuning tuning;
  EXPECT_TRUE(change_tuning(force_path(MatmulPath::fragments), tuning));
  return tuning;
}

/// Workgroups that share rows each have a part of them, and their results a place.
void expect_shares(const FragmentPlan& plan, uint32_t rows, uint32_t groups, uint32_t matrices, uint32_t tokens) {
  const uint32_t shares = plan.tuning.shares;
  EXPECT_GE(shares, 1U);
  EXPECT_LE(shares, groups);
  if (matrices > 1 || tokens > 64) EXPECT_EQ(shares, 1U);
  if (shares == 1) return;
  const uint64_t tiles = uint64_t{divide_up(rows, plan.rows)} * divide_up(tokens, plan.tokens);
  EXPECT_LE(tiles, kMostSharedTiles);
  EXPECT_LE(tiles * shares * plan.rows * plan.tokens, kMostSharedValues);
}

TEST(FragmentPathTest, AnyTuningBecomesWhatFits) {
  const std::vector<uint32_t> numbers = {0, 1, 2, 3, 7, 12, 64, 1000};
  for (const GpuProperties& gpu : {nvidia(), lavapipe(), small()}) {
    for (const uint32_t matrices : {1U, 2U}) {
      for (const uint32_t tokens : {1U, 8U, 10U, 24U, 64U, 512U}) {
        for (const uint32_t a : numbers) {
          for (const uint32_t b : numbers) {
            Tuning tuning = forced();
            FragmentTuning& t = tuning.fragments;
            t.teams = a, t.row_parts = b, t.strips = (a + b) % 9, t.tile_tokens = b, t.matrix_tokens = a;
            t.ahead = b, t.joined = a, t.shares = a, t.pieces = b;
            const uint32_t rows = a % 2 == 0 ? 100 : 260000;
            const auto plan =
                plan_fragments(gpu, tuning, layout_weights(shared::kEncodingQ4_0, rows, 5376), matrices, tokens);
            ASSERT_TRUE(plan);
            const FragmentLayout& l = plan->layout;
            EXPECT_GE(plan->tokens, l.n);
            EXPECT_EQ(plan->tokens, plan->token_tiles * l.n);
            EXPECT_LE(plan->threads, gpu.max_workgroup_threads);
            EXPECT_EQ(plan->threads, plan->tuning.teams * plan->tuning.row_parts * gpu.subgroup_size);
            EXPECT_EQ(plan->rows, plan->tuning.row_parts * plan->tuning.strips * l.m);
            const uint32_t scratch = 4 * matrices * plan->tuning.teams * plan->tuning.row_parts * l.m * l.n;
            EXPECT_LE(scratch, gpu.shared_memory_bytes);
            // Loaded together are whole matrices, and a group's whole pieces in so many turns.
            const uint32_t pieces = 32 / (l.k / l.classes) * l.x_components() / 8;
            EXPECT_EQ(plan->pieces_at_once * 8 % l.x_components(), 0U);
            EXPECT_EQ(pieces % plan->pieces_at_once, 0U);
            EXPECT_LE(plan->tuning.ahead, 1U);
            expect_shares(*plan, rows, fragment_groups(l, 5376 / 32), matrices, tokens);
            EXPECT_EQ(plan->joined, tokens <= std::min(a, 64U));
          }
        }
      }
    }
  }
}

TEST(FragmentPathTest, MatricesFillUpNoMoreThanTheyMust) {
  Tuning tuning = forced();
  tuning.fragments.matrix_tokens = 16;
  for (const uint32_t tokens : {1U, 8U, 24U, 40U}) EXPECT_EQ(fragments_for(nvidia(), tuning, tokens)->n, 8U) << tokens;
  for (const uint32_t tokens : {10U, 16U, 32U, 64U}) EXPECT_EQ(fragments_for(nvidia(), tuning, tokens)->n, 16U);
  tuning.fragments.matrix_tokens = 8;
  EXPECT_EQ(fragments_for(nvidia(), tuning, 64)->n, 8U);
}

TEST(FragmentPathTest, OnlyWhereTheyAreKnownAndMayBeTaken) {
  const auto plan = [](const GpuProperties& gpu, const Tuning& tuning, const WeightLayout& layout, uint32_t tokens) {
    return plan_fragments(gpu, tuning, layout, 1, tokens).has_value();
  };
  const WeightLayout blocks = layout_weights(shared::kEncodingQ6_K, 64, 512);
  EXPECT_TRUE(plan(nvidia(), forced(), blocks, 9));
  EXPECT_FALSE(plan(gpu_of(32, 49152, 1024, {}), forced(), blocks, 9));
  EXPECT_FALSE(plan(nvidia(), forced(), layout_weights(shared::kEncodingF16, 64, 512), 9));
  WeightLayout large = blocks;
  large.decodable = false;
  EXPECT_FALSE(plan(nvidia(), forced(), large, 9));
  WeightLayout different = blocks;
  different.range = {.scale = 1, .least_row = 0.02F};
  EXPECT_TRUE(plan(nvidia(), forced(), different, 9));
  different.range.least_row = 1e-3F;
  EXPECT_FALSE(plan(nvidia(), forced(), different, 9)) << "no unit holds all rows";
  Tuning invariant = forced();
  invariant.batch_invariant = 1;
  EXPECT_FALSE(plan(nvidia(), invariant, blocks, 9));
  Tuning between = forced();
  between.fragments.from_tokens = 5;
  between.fragments.to_tokens = 64;
  EXPECT_FALSE(plan(nvidia(), between, blocks, 4));
  EXPECT_TRUE(plan(nvidia(), between, blocks, 5));
  EXPECT_FALSE(plan(nvidia(), between, blocks, 65));
}

}  // namespace
}  // namespace hearth::vulkan
