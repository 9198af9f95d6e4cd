// The laws of how matmuls are cut for cooperative matrices of a whole workgroup; no device is needed.

#include "device/vulkan/paths/workgroup_matrix_path.h"

#include <gtest/gtest.h>

#include "device/vulkan/gpu/cooperative_matrices.h"
#include "device/vulkan/measuring/matmul_search.h"
#include "device/vulkan/shaders/layout.h"

namespace hearth::vulkan {
namespace {

GpuProperties gpu_of(std::vector<WorkgroupMatrixShape> shapes) {
  GpuProperties gpu;
  gpu.type = VK_PHYSICAL_DEVICE_TYPE_DISCRETE_GPU;
  gpu.subgroup_size = 32;
  gpu.max_workgroup_threads = 1024;
  gpu.float16 = gpu.storage_16bit = true;
  gpu.workgroup_matrix_threads = 1024;
  gpu.workgroup_matrices = std::move(shapes);
  return gpu;
}

/// As NVIDIA lists them, and one with large steps.
std::vector<GpuProperties> gpus() {
  return {gpu_of({{128, 32, 32, 16, "f16", "f32"}, {256, 32, 32, 16, "f16", "f32"}, {256, 32, 32, 32, "i8", "i32"}}),
          gpu_of({{64, 64, 64, 32, "f16", "f32"}})};
}

Tuning forced() {
  Tuning tuning;
  EXPECT_TRUE(change_tuning(force_path(MatmulPath::workgroup_matrix), tuning));
  return tuning;
}

TEST(WorkgroupMatrixPathTest, AnyTuningBecomesWhatFits) {
  for (const GpuProperties& gpu : gpus()) {
    for (const TuningAxis& axis : axes_of(MatmulPath::workgroup_matrix, "linear", 512)) {
      for (const uint32_t value : axis.values) {
        Tuning tuning = forced();
        ASSERT_TRUE(change_tuning({{axis.field, value}}, tuning));
        for (const uint32_t encoding : {shared::kEncodingF16, shared::kEncodingBf16, shared::kEncodingQ6_K}) {
          for (const uint32_t matrices : {1U, 2U}) {
            for (const auto& [rows, cols] : {std::pair(77U, 416U), std::pair(5376U, 21504U), std::pair(256U, 96U)}) {
              for (const uint32_t tokens : {1U, 70U, 512U, 2048U}) {
                SCOPED_TRACE(testing::Message() << axis.field << "=" << value << ", " << matrices << " matrices of "
                                                << rows << " x " << cols << ", " << tokens << " tokens");
                const auto plan =
                    plan_workgroup_matrices(gpu, tuning, layout_weights(encoding, rows, cols), matrices, tokens);
                ASSERT_TRUE(plan);
                const auto shape =
                    std::ranges::find(gpu.workgroup_matrices, plan->threads, &WorkgroupMatrixShape::threads);
                ASSERT_NE(shape, gpu.workgroup_matrices.end());
                EXPECT_TRUE(plan->tile_rows % shape->m == 0 && plan->tile_rows > 0);
                EXPECT_TRUE(plan->tile_tokens % shape->n == 0 && plan->tile_tokens > 0);
                EXPECT_EQ(plan->depth % shape->k, 0U);
                EXPECT_EQ(cols % plan->depth, 0U) << "columns behind a row's last would be read";
                EXPECT_EQ(kMostTileTokens % plan->tile_tokens, 0U) << "rows without a place would be read";
                EXPECT_LE(matrices * plan->tile_rows * plan->tile_tokens, 128 * plan->threads);
                EXPECT_EQ(plan->whole_rows, rows % plan->tile_rows == 0);
              }
            }
          }
        }
      }
    }
  }
}

TEST(WorkgroupMatrixPathTest, IsTakenOnlyWhereItIs) {
  const WeightLayout half = layout_weights(shared::kEncodingF16, 256, 256);
  const auto plans = [&](const GpuProperties& gpu, const Tuning& tuning) {
    return plan_workgroup_matrices(gpu, tuning, half, 1, 64).has_value();
  };
  const GpuProperties gpu = gpus().front();
  EXPECT_TRUE(plans(gpu, forced()));
  EXPECT_FALSE(plans(gpu, tuning_for(GpuProperties()))) << "nobody asked for it";
  EXPECT_FALSE(plan_workgroup_matrices(gpu, forced(), layout_weights(shared::kEncodingF32, 256, 256), 1, 64));
  Tuning tuning = forced();
  tuning.workgroup_matrix.from_tokens = 65;
  EXPECT_FALSE(plans(gpu, tuning));
  tuning = forced();
  tuning.batch_invariant = 1;
  keep_batch_invariant(tuning);
  EXPECT_FALSE(plans(gpu, tuning)) << "the order of its sums is the driver's";

  GpuProperties without = gpu;
  without.storage_16bit = false;
  EXPECT_FALSE(has_workgroup_matrices(without) || plans(without, forced()));
  without = gpu_of({{256, 32, 32, 16, "f16", "f16"}, {256, 32, 32, 32, "i8", "i32"}});
  EXPECT_FALSE(has_workgroup_matrices(without) || plans(without, forced())) << "sums in f16 are not enough";
  without = gpu;
  without.workgroup_matrix_threads = 64;
  EXPECT_FALSE(has_workgroup_matrices(without));
}

}  // namespace
}  // namespace hearth::vulkan
