// The laws of how matmuls are cut into cooperative matrices, over devices, tunings and shapes; no device is needed.

#include "device/vulkan/paths/matrix_path.h"

#include <gtest/gtest.h>

#include "device/vulkan/gpu/cooperative_matrices.h"
#include "device/vulkan/measuring/matmul_search.h"
#include "device/vulkan/memory/weight_layout.h"
#include "device/vulkan/shaders/layout.h"

namespace hearth::vulkan {
namespace {

using shared::kEncodingBf16;
using shared::kEncodingF16;
using shared::kEncodingF32;
using shared::kEncodingQ4_0;
using shared::kEncodingQ6_K;

GpuProperties gpu_of(uint32_t lanes, uint32_t shared_bytes, std::vector<CooperativeMatrixShape> shapes) {
  GpuProperties gpu;
  gpu.type = VK_PHYSICAL_DEVICE_TYPE_DISCRETE_GPU;
  gpu.subgroup_size = lanes;
  gpu.shared_memory_bytes = shared_bytes;
  gpu.max_workgroup_threads = lanes == 8 ? 256 : 1024;
  gpu.float16 = true;
  gpu.cooperative_matrices = std::move(shapes);
  return gpu;
}

/// A processor, RDNA3 in both widths, NVIDIA.
std::vector<GpuProperties> gpus() {
  return {gpu_of(8, 32768, {{8, 8, 8, "f16", "f32"}, {8, 8, 8, "i8", "i32"}}),
          gpu_of(32, 65536, {{16, 16, 16, "f16", "f32"}, {16, 16, 16, "i8", "i32"}}),
          gpu_of(64, 65536, {{16, 16, 16, "f16", "f32"}, {16, 16, 16, "i8", "i32"}}),
          gpu_of(32, 49152,
                 {{16, 8, 8, "f16", "f32"},
                  {16, 8, 16, "f16", "f32"},
                  {16, 16, 16, "f16", "f32"},
                  {16, 16, 32, "i8", "i32"},
                  {16, 8, 32, "i8", "i32"}})};
}

/// Bytes of a stage of one row of weights, and what shaders divide by each other.
void expect_whole(const GpuProperties& gpu, const MatrixPlan& plan, uint32_t encoding, uint32_t matrices,
                  uint32_t blocks) {
  const MatrixTuning& t = plan.tuning;
  const uint32_t value_bytes = uses_split_activations(encoding) || plan.decoded ? 2 : 1;
  EXPECT_EQ(t.tile_rows % t.sub_rows, 0U);
  EXPECT_EQ(t.tile_tokens % t.sub_tokens, 0U);
  EXPECT_EQ(t.sub_rows % (matrices * plan.shape.m), 0U) << "gate and up are whole matrices of a subgroup";
  EXPECT_EQ(t.sub_tokens % plan.shape.n, 0U);
  EXPECT_EQ(32 / value_bytes % plan.shape.k, 0U);
  EXPECT_EQ(blocks * value_bytes % (t.teams * t.depth), 0U) << "all teams have whole stages";
  EXPECT_TRUE(!plan.decoded || t.depth % 2 == 0) << "a stage is whole blocks";
  EXPECT_EQ(plan.subgroups, t.teams * (t.tile_rows / t.sub_rows) * (t.tile_tokens / t.sub_tokens));
  EXPECT_LE(plan.subgroups * gpu.subgroup_size, gpu.max_workgroup_threads);
}

TEST(MatrixPathTest, AnyTuningBecomesWhatFits) {
  for (const GpuProperties& gpu : gpus()) {
    const Tuning table = tuning_for(gpu);
    for (const uint32_t tokens : {1U, 5U, 9U, 24U, 40U, 64U, 130U}) {
      std::vector<TuningChanges> tunings = {{}, force_path(MatmulPath::decoded_matrix)};
      for (const TuningAxis& axis : axes_of(MatmulPath::decoded_matrix, "linear", tokens)) {
        for (const uint32_t value : axis.values) {
          tunings.push_back(force_path(MatmulPath::decoded_matrix));
          tunings.back()[axis.field] = value;
        }
      }
      for (const TuningAxis& axis : axes_of(MatmulPath::matrix, "linear", tokens)) {
        for (const uint32_t value : axis.values) tunings.push_back({{axis.field, value}});
      }
      for (const TuningChanges& changes : tunings) {
        Tuning tuning = table;
        ASSERT_TRUE(change_tuning(changes, tuning));
        for (const uint32_t encoding : {kEncodingF16, kEncodingBf16, kEncodingQ4_0, kEncodingQ6_K}) {
          for (const uint32_t matrices : {1U, 2U}) {
            for (const uint32_t blocks : {2U, 13U, 18U, 168U}) {
              SCOPED_TRACE(testing::Message() << gpu.subgroup_size << " lanes, " << text_of(changes) << ", " << tokens
                                              << " tokens, encoding " << encoding << ", " << blocks << " blocks");
              const auto plan =
                  plan_matrix_path(gpu, tuning, layout_weights(encoding, 64, blocks * 32), matrices, tokens);
              ASSERT_TRUE(plan);
              expect_whole(gpu, *plan, encoding, matrices, blocks);
              EXPECT_EQ(plan->decoded,
                        path_of(tuning, tokens) == MatmulPath::decoded_matrix && uses_quantized_activations(encoding));
            }
          }
        }
      }
    }
  }
}

TEST(MatrixPathTest, HalvesNeedMatricesOfHalves) {
  const auto plans = [](const GpuProperties& gpu, uint32_t encoding) {
    return plan_matrix_path(gpu, tuning_for(gpu), layout_weights(encoding, 64, 512), 1, 64).has_value();
  };
  GpuProperties gpu = gpus().back();
  EXPECT_TRUE(multiplies_halves(gpu) && plans(gpu, kEncodingF16) && plans(gpu, kEncodingBf16));
  EXPECT_FALSE(plans(gpu, kEncodingF32));
  gpu.float16 = false;
  EXPECT_FALSE(multiplies_halves(gpu) || plans(gpu, kEncodingF16));
  EXPECT_TRUE(plans(gpu, kEncodingQ4_0));
  gpu = gpu_of(32, 49152, {{16, 16, 32, "i8", "i32"}, {16, 16, 16, "f16", "f16"}});
  EXPECT_FALSE(multiplies_halves(gpu) || plans(gpu, kEncodingBf16)) << "sums in f16 are not enough";
}

}  // namespace
}  // namespace hearth::vulkan
