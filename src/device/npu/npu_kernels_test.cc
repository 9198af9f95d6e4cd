#include "device/npu/npu_kernels.h"

#include <gtest/gtest.h>

namespace hearth {
namespace {

TEST(NpuKernelsTest, TheOneThatPadsAMatrixLeastTakesIt) {
  const std::vector<NpuKernelSpec> kernels = {{.files = {}, .m = 256, .k = 512, .n = 512},
                                              {.files = {}, .m = 256, .k = 2048, .n = 512},
                                              {.files = {}, .m = 128, .k = 96, .n = 64}};
  EXPECT_EQ(best_kernel(kernels, 4096, 4096), 1U) << "of those that fit the one with the most work for each run";
  EXPECT_EQ(best_kernel(kernels, 4096, 2560), 0U);
  EXPECT_EQ(best_kernel(kernels, 64, 96), 2U);
  EXPECT_EQ(best_kernel(kernels, 1, 1), 2U);
}

TEST(NpuKernelsTest, AreNamedByWhatTheyMultiply) {
  EXPECT_EQ(name_of({.files = {}, .m = 1, .k = 2, .n = 3}), "1 x 2 x 3 bf16 to f32");
  EXPECT_EQ(name_of({.files = {}, .m = 1, .k = 2, .n = 3, .output_is_bf16 = true}), "1 x 2 x 3 bf16 to bf16");
}

}  // namespace
}  // namespace hearth
