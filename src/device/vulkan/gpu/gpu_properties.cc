#include "device/vulkan/gpu/gpu_properties.h"

#include <fmt/format.h>

#include <algorithm>
#include <set>

namespace hearth::vulkan {
namespace {

using Extensions = std::set<std::string, std::less<>>;

std::string component_name(VkComponentTypeKHR type) {
  switch (type) {
    case VK_COMPONENT_TYPE_FLOAT16_KHR:
      return "f16";
    case VK_COMPONENT_TYPE_FLOAT32_KHR:
      return "f32";
    case VK_COMPONENT_TYPE_SINT8_KHR:
      return "i8";
    case VK_COMPONENT_TYPE_SINT32_KHR:
      return "i32";
    case VK_COMPONENT_TYPE_UINT8_KHR:
      return "u8";
    case VK_COMPONENT_TYPE_UINT32_KHR:
      return "u32";
    default:
      // VK_COMPONENT_TYPE_BFLOAT16_KHR, younger than the headers that hearth asks for.
      if (static_cast<int>(type) == 1000141000) return "bf16";
      return fmt::format("type {}", static_cast<int>(type));
  }
}

std::vector<CooperativeMatrixShape> cooperative_matrix_shapes(VkPhysicalDevice physical) {
  if (vkGetPhysicalDeviceCooperativeMatrixPropertiesKHR == nullptr) return {};
  uint32_t count = 0;
  vkGetPhysicalDeviceCooperativeMatrixPropertiesKHR(physical, &count, nullptr);
  std::vector<VkCooperativeMatrixPropertiesKHR> found(count, {VK_STRUCTURE_TYPE_COOPERATIVE_MATRIX_PROPERTIES_KHR});
  vkGetPhysicalDeviceCooperativeMatrixPropertiesKHR(physical, &count, found.data());
  std::vector<CooperativeMatrixShape> shapes;
  for (const auto& p : found) {
    if (p.scope != VK_SCOPE_SUBGROUP_KHR || p.AType != p.BType || p.saturatingAccumulation) continue;
    shapes.push_back({p.MSize, p.NSize, p.KSize, component_name(p.AType), component_name(p.ResultType)});
  }
  return shapes;
}

std::vector<WorkgroupMatrixShape> workgroup_matrix_shapes(VkPhysicalDevice physical) {
  if (vkGetPhysicalDeviceCooperativeMatrixFlexibleDimensionsPropertiesNV == nullptr) return {};
  uint32_t count = 0;
  vkGetPhysicalDeviceCooperativeMatrixFlexibleDimensionsPropertiesNV(physical, &count, nullptr);
  std::vector<VkCooperativeMatrixFlexibleDimensionsPropertiesNV> found(
      count, {VK_STRUCTURE_TYPE_COOPERATIVE_MATRIX_FLEXIBLE_DIMENSIONS_PROPERTIES_NV});
  vkGetPhysicalDeviceCooperativeMatrixFlexibleDimensionsPropertiesNV(physical, &count, found.data());
  std::vector<WorkgroupMatrixShape> shapes;
  for (const auto& p : found) {
    if (p.scope != VK_SCOPE_WORKGROUP_KHR || p.AType != p.BType || p.saturatingAccumulation) continue;
    shapes.push_back({p.workgroupInvocations, p.MGranularity, p.NGranularity, p.KGranularity, component_name(p.AType),
                      component_name(p.ResultType)});
  }
  return shapes;
}

uint32_t most_workgroup_matrix_threads(VkPhysicalDevice physical) {
  VkPhysicalDeviceCooperativeMatrix2PropertiesNV matrix2 = {
      VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_COOPERATIVE_MATRIX_2_PROPERTIES_NV};
  VkPhysicalDeviceProperties2 core = {VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_PROPERTIES_2, &matrix2};
  vkGetPhysicalDeviceProperties2(physical, &core);
  return matrix2.cooperativeMatrixWorkgroupScopeMaxWorkgroupSize;
}

/// Whether all of cooperative-matrix-2 is there that shaders/workgroup_matrix_tokens.glsl uses.
bool has_workgroup_matrices(const VkPhysicalDeviceCooperativeMatrix2FeaturesNV& found) {
  return found.cooperativeMatrixWorkgroupScope && found.cooperativeMatrixFlexibleDimensions &&
         found.cooperativeMatrixPerElementOperations && found.cooperativeMatrixTensorAddressing &&
         found.cooperativeMatrixBlockLoads;
}

Extensions read_extensions(VkPhysicalDevice physical) {
  uint32_t count = 0;
  vkEnumerateDeviceExtensionProperties(physical, nullptr, &count, nullptr);
  std::vector<VkExtensionProperties> found(count);
  vkEnumerateDeviceExtensionProperties(physical, nullptr, &count, found.data());
  Extensions names;
  for (const auto& extension : found) names.emplace(extension.extensionName);
  return names;
}

void read_limits(VkPhysicalDevice physical, GpuProperties& p) {
  VkPhysicalDeviceVulkan11Properties v11 = {VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_VULKAN_1_1_PROPERTIES};
  VkPhysicalDeviceVulkan12Properties v12 = {VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_VULKAN_1_2_PROPERTIES, &v11};
  VkPhysicalDeviceVulkan13Properties v13 = {VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_VULKAN_1_3_PROPERTIES, &v12};
  VkPhysicalDeviceProperties2 core = {VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_PROPERTIES_2, &v13};
  vkGetPhysicalDeviceProperties2(physical, &core);
  const VkPhysicalDeviceLimits& limits = core.properties.limits;
  p.driver = fmt::format("{} {}", v12.driverName, v12.driverInfo);
  p.subgroup_min = v13.minSubgroupSize;
  p.subgroup_max = v13.maxSubgroupSize;
  // 32 lanes where the device can choose: RADV's own choice is 64, and more lanes than blocks in a row stand idle.
  p.subgroup_size = p.subgroup_min <= 32 && 32 <= p.subgroup_max ? 32 : v11.subgroupSize;
  p.shared_memory_bytes = limits.maxComputeSharedMemorySize;
  p.max_workgroup_threads = std::min({limits.maxComputeWorkGroupInvocations, limits.maxComputeWorkGroupSize[0],
                                      p.subgroup_size * v13.maxComputeWorkgroupSubgroups});
  p.max_push_constant_bytes = limits.maxPushConstantsSize;
  p.max_allocation_bytes = v11.maxMemoryAllocationSize;
  p.timestamp_ns = limits.timestampPeriod;
  p.dot_product_accelerated = v13.integerDotProduct4x8BitPackedSignedAccelerated != 0;
}

/// What AMD calls active compute units and NVIDIA streaming multiprocessors.
uint32_t count_compute_units(VkPhysicalDevice physical, const Extensions& has) {
  VkPhysicalDeviceShaderCoreProperties2AMD cores = {VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_SHADER_CORE_PROPERTIES_2_AMD};
  VkPhysicalDeviceShaderSMBuiltinsPropertiesNV multiprocessors = {
      VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_SHADER_SM_BUILTINS_PROPERTIES_NV};
  VkPhysicalDeviceProperties2 core = {VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_PROPERTIES_2};
  if (has.contains(VK_AMD_SHADER_CORE_PROPERTIES_2_EXTENSION_NAME)) core.pNext = &cores;
  if (has.contains(VK_NV_SHADER_SM_BUILTINS_EXTENSION_NAME)) core.pNext = &multiprocessors;
  vkGetPhysicalDeviceProperties2(physical, &core);
  return cores.activeComputeUnitCount + multiprocessors.shaderSMCount;
}

/// What the device can do; the first thing that hearth needs and does not find is the obstacle.
void read_features(VkPhysicalDevice physical, const Extensions& has, GpuProperties& p) {
  FeatureChain found({.matrix = has.contains(VK_KHR_COOPERATIVE_MATRIX_EXTENSION_NAME),
                      .matrix2 = has.contains(VK_NV_COOPERATIVE_MATRIX_2_EXTENSION_NAME),
                      .executables = has.contains(VK_KHR_PIPELINE_EXECUTABLE_PROPERTIES_EXTENSION_NAME)});
  vkGetPhysicalDeviceFeatures2(physical, &found.core);
  p.buffer_device_address = found.v12.bufferDeviceAddress;
  p.dot_product = found.v13.shaderIntegerDotProduct;
  p.storage_16bit = found.v11.storageBuffer16BitAccess;
  p.storage_8bit = found.v12.storageBuffer8BitAccess;
  p.float16 = found.v12.shaderFloat16;
  p.int8 = found.v12.shaderInt8;
  p.executable_properties = found.executables.pipelineExecutableInfo;
  p.memory_budget = has.contains(VK_EXT_MEMORY_BUDGET_EXTENSION_NAME);
  p.external_host_memory = has.contains(VK_EXT_EXTERNAL_MEMORY_HOST_EXTENSION_NAME);
  p.compute_units = count_compute_units(physical, has);
  if (found.matrix.cooperativeMatrix) p.cooperative_matrices = cooperative_matrix_shapes(physical);
  if (found.matrix.cooperativeMatrix && has_workgroup_matrices(found.matrix2)) {
    p.workgroup_matrices = workgroup_matrix_shapes(physical);
    p.workgroup_matrix_threads = most_workgroup_matrix_threads(physical);
  }
  if (!p.buffer_device_address) {
    p.obstacle = "no buffer device addresses";
  } else if (!found.v12.vulkanMemoryModel) {
    p.obstacle = "no Vulkan memory model";
  } else if (!found.v13.synchronization2) {
    p.obstacle = "no synchronization2";
  } else if (!p.dot_product) {
    p.obstacle = "no integer dot products";
  } else if (!found.v13.subgroupSizeControl || !found.v13.computeFullSubgroups) {
    p.obstacle = "no control over the subgroup size";
  }
}

void read_queues(VkPhysicalDevice physical, GpuProperties& p) {
  uint32_t count = 0;
  vkGetPhysicalDeviceQueueFamilyProperties(physical, &count, nullptr);
  std::vector<VkQueueFamilyProperties> families(count);
  vkGetPhysicalDeviceQueueFamilyProperties(physical, &count, families.data());
  const QueueFamilies chosen = choose_queue_families(families);
  if (!chosen.compute) {
    p.obstacle = "no queue for compute shaders";
    return;
  }
  p.compute_queue_family = *chosen.compute;
  p.transfer_queue_family = chosen.transfer;
  if (families[*chosen.compute].timestampValidBits == 0) p.timestamp_ns = 0;
}

void read_memory(VkPhysicalDevice physical, GpuProperties& p) {
  VkPhysicalDeviceMemoryProperties sizes;
  vkGetPhysicalDeviceMemoryProperties(physical, &sizes);
  p.compiles_only = sizes.memoryHeapCount == 0;
  p.memory_budget = p.memory_budget && !p.compiles_only;
  VkPhysicalDeviceMemoryBudgetPropertiesEXT budget = {VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_MEMORY_BUDGET_PROPERTIES_EXT};
  VkPhysicalDeviceMemoryProperties2 found = {VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_MEMORY_PROPERTIES_2,
                                             p.memory_budget ? &budget : nullptr};
  vkGetPhysicalDeviceMemoryProperties2(physical, &found);
  const auto& memory = found.memoryProperties;
  for (uint32_t i = 0; i < memory.memoryHeapCount; ++i) {
    p.heaps.push_back({.bytes = memory.memoryHeaps[i].size,
                       .device_local = (memory.memoryHeaps[i].flags & VK_MEMORY_HEAP_DEVICE_LOCAL_BIT) != 0,
                       .budget_bytes = p.memory_budget ? budget.heapBudget[i] : memory.memoryHeaps[i].size,
                       .process_bytes = p.memory_budget ? budget.heapUsage[i] : 0});
  }
  // Mapped device memory counts as the device's only memory when it is more than the old 256 MiB window.
  uint64_t largest_local = 0, largest_mapped = 0;
  for (uint32_t i = 0; i < memory.memoryTypeCount; ++i) {
    const auto& type = memory.memoryTypes[i];
    const bool mapped = (type.propertyFlags & VK_MEMORY_PROPERTY_HOST_VISIBLE_BIT) != 0;
    if (mapped) p.heaps[type.heapIndex].mapped = true;
    if ((type.propertyFlags & VK_MEMORY_PROPERTY_DEVICE_LOCAL_BIT) == 0) continue;
    const uint64_t size = memory.memoryHeaps[type.heapIndex].size;
    largest_local = std::max(largest_local, size);
    if (mapped) largest_mapped = std::max(largest_mapped, size);
  }
  p.one_memory = largest_local > 0 && largest_mapped == largest_local;
}

}  // namespace

std::string_view type_name(VkPhysicalDeviceType type) {
  switch (type) {
    case VK_PHYSICAL_DEVICE_TYPE_DISCRETE_GPU:
      return "discrete GPU";
    case VK_PHYSICAL_DEVICE_TYPE_INTEGRATED_GPU:
      return "integrated GPU";
    case VK_PHYSICAL_DEVICE_TYPE_VIRTUAL_GPU:
      return "virtual GPU";
    case VK_PHYSICAL_DEVICE_TYPE_CPU:
      return "CPU";
    default:
      return "other";
  }
}

FeatureChain::FeatureChain(const Known& known) {
  core.pNext = &v11;
  v11.pNext = &v12;
  v12.pNext = &v13;
  void** tail = &v13.pNext;
  if (known.matrix) {
    *tail = &matrix;
    tail = &matrix.pNext;
  }
  if (known.matrix2) {
    *tail = &matrix2;
    tail = &matrix2.pNext;
  }
  if (known.executables) *tail = &executables;
}

QueueFamilies choose_queue_families(std::span<const VkQueueFamilyProperties> families) {
  QueueFamilies chosen;
  for (uint32_t i = 0; i < families.size(); ++i) {
    const VkQueueFlags flags = families[i].queueFlags;
    // Those that also decode video or the like are engines made for something else.
    constexpr VkQueueFlags kOfCopyEngines =
        VK_QUEUE_TRANSFER_BIT | VK_QUEUE_SPARSE_BINDING_BIT | VK_QUEUE_PROTECTED_BIT;
    const bool copies_only = (flags & VK_QUEUE_TRANSFER_BIT) != 0 && (flags & ~kOfCopyEngines) == 0;
    if ((flags & VK_QUEUE_COMPUTE_BIT) != 0 && !chosen.compute) chosen.compute = i;
    if (copies_only && !chosen.transfer) chosen.transfer = i;
  }
  return chosen;
}

GpuProperties read_properties(VkPhysicalDevice physical) {
  VkPhysicalDeviceProperties core;
  vkGetPhysicalDeviceProperties(physical, &core);
  GpuProperties p;
  p.name = core.deviceName;
  p.api_version = fmt::format("{}.{}.{}", VK_API_VERSION_MAJOR(core.apiVersion), VK_API_VERSION_MINOR(core.apiVersion),
                              VK_API_VERSION_PATCH(core.apiVersion));
  p.vendor_id = core.vendorID;
  p.device_id = core.deviceID;
  p.driver_version = core.driverVersion;
  std::ranges::copy(core.pipelineCacheUUID, p.pipeline_cache_uuid.begin());
  p.type = core.deviceType;
  if (core.apiVersion < VK_API_VERSION_1_3) {
    p.obstacle = fmt::format("Vulkan {} is older than 1.3", p.api_version);
    return p;  // it knows nothing of the structures below
  }
  read_limits(physical, p);
  read_features(physical, read_extensions(physical), p);
  read_queues(physical, p);
  read_memory(physical, p);
  return p;
}

nlohmann::ordered_json describe(const GpuProperties& p) {
  using Json = nlohmann::ordered_json;
  Json matrices = Json::array(), workgroup_matrices = Json::array(), heaps = Json::array();
  for (const CooperativeMatrixShape& shape : p.cooperative_matrices) {
    matrices.push_back(fmt::format("{}x{}x{} {} to {}", shape.m, shape.n, shape.k, shape.inputs, shape.results));
  }
  for (const WorkgroupMatrixShape& shape : p.workgroup_matrices) {
    workgroup_matrices.push_back(fmt::format("{} threads, multiples of {}x{}x{} {} to {}", shape.threads, shape.m,
                                             shape.n, shape.k, shape.inputs, shape.results));
  }
  for (const MemoryHeap& heap : p.heaps) {
    heaps.push_back({{"bytes", heap.bytes},
                     {"device_local", heap.device_local},
                     {"host_visible", heap.mapped},
                     {"budget_bytes", heap.budget_bytes},
                     {"used_bytes", heap.process_bytes}});
  }
  return {{"name", p.name},
          {"type", type_name(p.type)},
          {"vulkan", p.api_version},
          {"driver", p.driver},
          {"vendor_id", p.vendor_id},
          {"device_id", p.device_id},
          {"usable", p.obstacle.empty()},
          {"obstacle", p.obstacle.empty() ? Json(nullptr) : Json(p.obstacle)},
          {"subgroup_size", p.subgroup_size},
          {"subgroup_min", p.subgroup_min},
          {"subgroup_max", p.subgroup_max},
          {"shared_memory_bytes", p.shared_memory_bytes},
          {"workgroup_threads", p.max_workgroup_threads},
          {"compute_units", p.compute_units},
          {"largest_allocation_bytes", p.max_allocation_bytes},
          {"one_memory", p.one_memory},
          {"transfer_queue", p.transfer_queue_family.has_value()},
          {"heaps", heaps},
          {"memory_budget", p.memory_budget},
          {"external_host_memory", p.external_host_memory},
          {"buffer_device_address", p.buffer_device_address},
          {"cooperative_matrices", matrices},
          {"workgroup_matrices", workgroup_matrices},
          {"integer_dot_product", p.dot_product_accelerated ? "in hardware"
                                  : p.dot_product           ? "emulated"
                                                            : "no"},
          {"storage_16bit", p.storage_16bit},
          {"storage_8bit", p.storage_8bit},
          {"float16", p.float16},
          {"int8", p.int8},
          {"timestamp_ns", p.timestamp_ns == 0 ? Json(nullptr) : Json(p.timestamp_ns)},
          {"pipeline_statistics", p.executable_properties},
          {"compiles_only", p.compiles_only}};
}

}  // namespace hearth::vulkan
