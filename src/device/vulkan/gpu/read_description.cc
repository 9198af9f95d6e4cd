#include "device/vulkan/gpu/read_description.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cstdio>
#include <string>

namespace hearth::vulkan {
namespace {

using Json = nlohmann::json;

VkPhysicalDeviceType type_of(std::string_view name) {
  for (const VkPhysicalDeviceType type : {VK_PHYSICAL_DEVICE_TYPE_DISCRETE_GPU, VK_PHYSICAL_DEVICE_TYPE_INTEGRATED_GPU,
                                          VK_PHYSICAL_DEVICE_TYPE_VIRTUAL_GPU, VK_PHYSICAL_DEVICE_TYPE_CPU}) {
    if (type_name(type) == name) return type;
  }
  return VK_PHYSICAL_DEVICE_TYPE_OTHER;
}

/// Of "f16 to f32".
struct Numbers {
  std::array<char, 8> inputs{}, results{};
};

/// "16x16x16 f16 to f32"
bool read_shape(const std::string& text, CooperativeMatrixShape& shape) {
  Numbers numbers;
  const int read = std::sscanf(text.c_str(), "%ux%ux%u %7s to %7s", &shape.m, &shape.n, &shape.k, numbers.inputs.data(),
                               numbers.results.data());
  shape.inputs = numbers.inputs.data();
  shape.results = numbers.results.data();
  return read == 5;
}

/// "128 threads, multiples of 32x32x16 f16 to f32"
bool read_shape(const std::string& text, WorkgroupMatrixShape& shape) {
  Numbers numbers;
  const int read = std::sscanf(text.c_str(), "%u threads, multiples of %ux%ux%u %7s to %7s", &shape.threads, &shape.m,
                               &shape.n, &shape.k, numbers.inputs.data(), numbers.results.data());
  shape.inputs = numbers.inputs.data();
  shape.results = numbers.results.data();
  return read == 6;
}

template <class Shape>
Result<std::vector<Shape>> read_shapes(const Json& described, const char* key) {
  std::vector<Shape> shapes;
  for (const Json& text : described.value(key, Json::array())) {
    Shape shape;
    if (!text.is_string() || !read_shape(text.get<std::string>(), shape)) {
      return fail(ErrorCode::invalid_argument, fmt::format("{} of a described GPU are not as doctor writes them", key));
    }
    shapes.push_back(std::move(shape));
  }
  return shapes;
}

std::vector<MemoryHeap> read_heaps(const Json& described) {
  std::vector<MemoryHeap> heaps;
  for (const Json& heap : described.value("heaps", Json::array())) {
    const uint64_t bytes = heap.value("bytes", uint64_t{0});
    heaps.push_back({.bytes = bytes,
                     .device_local = heap.value("device_local", false),
                     .mapped = heap.value("host_visible", false),
                     .budget_bytes = heap.value("budget_bytes", bytes),
                     .process_bytes = heap.value("used_bytes", uint64_t{0})});
  }
  return heaps;
}

GpuProperties read_plain(const Json& described) {
  GpuProperties p;
  p.name = described.value("name", "a GPU");
  p.type = type_of(described.value("type", "other"));
  p.api_version = described.value("vulkan", "");
  p.driver = described.value("driver", "");
  p.vendor_id = described.value("vendor_id", 0U);
  p.device_id = described.value("device_id", 0U);
  if (!described.value("usable", true)) p.obstacle = described.value("obstacle", "it cannot be used");
  p.subgroup_size = described.value("subgroup_size", 32U);
  p.subgroup_min = described.value("subgroup_min", p.subgroup_size);
  p.subgroup_max = described.value("subgroup_max", p.subgroup_size);
  p.shared_memory_bytes = described.value("shared_memory_bytes", 32768U);
  p.max_workgroup_threads = described.value("workgroup_threads", 1024U);
  p.compute_units = described.value("compute_units", 0U);
  p.max_allocation_bytes = described.value("largest_allocation_bytes", uint64_t{2} << 30);
  p.one_memory = described.value("one_memory", false);
  p.memory_budget = described.value("memory_budget", true);
  p.buffer_device_address = described.value("buffer_device_address", true);
  p.dot_product_accelerated = described.value("integer_dot_product", "no") == "in hardware";
  p.dot_product = described.value("integer_dot_product", "no") != "no";
  p.storage_16bit = described.value("storage_16bit", true);
  p.storage_8bit = described.value("storage_8bit", true);
  p.float16 = described.value("float16", true);
  p.int8 = described.value("int8", true);
  p.heaps = read_heaps(described);
  return p;
}

}  // namespace

Result<GpuProperties> read_description(const Json& described) {
  try {
    GpuProperties p = read_plain(described);
    auto matrices = read_shapes<CooperativeMatrixShape>(described, "cooperative_matrices");
    if (!matrices) return pass_on(matrices);
    p.cooperative_matrices = std::move(*matrices);
    auto of_workgroups = read_shapes<WorkgroupMatrixShape>(described, "workgroup_matrices");
    if (!of_workgroups) return pass_on(of_workgroups);
    p.workgroup_matrices = std::move(*of_workgroups);
    for (const CooperativeMatrixShape& shape : p.cooperative_matrices) {
      if (shape.inputs == "f16") p.fragments.push_back({.m = shape.m, .n = shape.n, .k = shape.k});
    }
    return p;
  } catch (const Json::exception& error) {
    return fail(ErrorCode::invalid_argument,
                fmt::format("a described GPU is not as doctor writes it: {}", error.what()),
                "`hearth doctor --json` describes GPUs");
  }
}

}  // namespace hearth::vulkan
