#include "device/vulkan/gpu/instance.h"

#include <gtest/gtest.h>

#include <algorithm>

#include "device/vulkan/gpu/gpu.h"

namespace hearth::vulkan {
namespace {

/// With two instances side by side, a card's matrices were found by some tests of a process and missed by others.
TEST(InstanceTest, OneWithTheLayerServesThoseWhoDidNotAskForIt) {
  const auto plain = Instance::get(false);
  if (!plain) GTEST_SKIP() << plain.error().message;
  const auto validated = Instance::get(true);
  if (!validated) GTEST_SKIP() << validated.error().message;
  EXPECT_EQ(*Instance::get(false), *validated);
  EXPECT_EQ(*Instance::get(true), *validated);

  const auto listed = Gpu::list();
  ASSERT_TRUE(listed);
  for (const VkPhysicalDevice physical : (*validated)->devices()) {
    const GpuProperties now = read_properties(physical);
    const auto before = std::ranges::find(*listed, now.name, &GpuProperties::name);
    ASSERT_NE(before, listed->end());
    EXPECT_EQ(now.cooperative_matrices.size(), before->cooperative_matrices.size());
    EXPECT_EQ(now.pipeline_cache_uuid, before->pipeline_cache_uuid);
  }
}

}  // namespace
}  // namespace hearth::vulkan
