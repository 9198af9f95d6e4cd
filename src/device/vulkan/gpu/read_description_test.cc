// What doctor says of a GPU is enough to plan for it elsewhere.

#include "device/vulkan/gpu/read_description.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "device/vulkan/gpu/gpu.h"

namespace hearth::vulkan {
namespace {

using testing::HasSubstr;

nlohmann::json described(const GpuProperties& gpu) { return nlohmann::json::parse(describe(gpu).dump()); }

/// What does not matter to those who only lay things out.
nlohmann::json without_the_rest(nlohmann::json gpu) {
  for (const char* key :
       {"transfer_queue", "external_host_memory", "timestamp_ns", "pipeline_statistics", "compiles_only"}) {
    gpu.erase(key);
  }
  return gpu;
}

TEST(ReadDescription, GivesBackWhatWasDescribed) {
  GpuProperties gpu;
  gpu.name = "A GPU";
  gpu.type = VK_PHYSICAL_DEVICE_TYPE_INTEGRATED_GPU;
  gpu.api_version = "1.3.2";
  gpu.driver = "radv 25";
  gpu.vendor_id = 0x1002;
  gpu.device_id = 7;
  gpu.subgroup_size = gpu.subgroup_min = 32;
  gpu.subgroup_max = 64;
  gpu.shared_memory_bytes = 65536;
  gpu.max_workgroup_threads = 1024;
  gpu.compute_units = 12;
  gpu.max_allocation_bytes = uint64_t{1} << 32;
  gpu.one_memory = gpu.memory_budget = gpu.buffer_device_address = true;
  gpu.dot_product = gpu.dot_product_accelerated = true;
  gpu.storage_16bit = gpu.float16 = true;
  gpu.cooperative_matrices = {{16, 16, 16, "f16", "f32"}, {16, 8, 32, "i8", "i32"}};
  gpu.workgroup_matrices = {{128, 32, 32, 16, "f16", "f32"}};
  gpu.heaps = {{.bytes = 100, .device_local = true, .mapped = true, .budget_bytes = 90, .process_bytes = 3},
               {.bytes = 50, .budget_bytes = 40}};
  const auto read = read_description(described(gpu));
  ASSERT_TRUE(read) << to_string(read.error());
  EXPECT_EQ(without_the_rest(described(*read)), without_the_rest(described(gpu)));
  EXPECT_EQ(read->fragments.size(), 1U);
}

TEST(ReadDescription, GivesBackTheGpusOfThisMachine) {
  const auto found = Gpu::list();
  if (!found) GTEST_SKIP() << to_string(found.error());
  for (const GpuProperties& gpu : *found) {
    const auto read = read_description(described(gpu));
    ASSERT_TRUE(read) << to_string(read.error());
    EXPECT_EQ(without_the_rest(described(*read)), without_the_rest(described(gpu))) << gpu.name;
  }
}

TEST(ReadDescription, RefusesWhatDoctorWouldNotWrite) {
  for (const char* text :
       {R"({"cooperative_matrices": ["many"]})", R"({"cooperative_matrices": [3]})", R"({"subgroup_size": "wide"})",
        R"({"heaps": [1]})", R"([])", R"(7)", R"({"workgroup_matrices": ["16x16x16 f16 to f32"]})"}) {
    const auto read = read_description(nlohmann::json::parse(text));
    ASSERT_FALSE(read) << text;
    EXPECT_EQ(read.error().code, ErrorCode::invalid_argument) << text;
  }
}

}  // namespace
}  // namespace hearth::vulkan
