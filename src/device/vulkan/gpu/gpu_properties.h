#pragma once

#include <volk.h>

#include <array>
#include <cstdint>
#include <nlohmann/json.hpp>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "device/vulkan/gpu/fragment_layout.h"

namespace hearth::vulkan {

struct CooperativeMatrixShape {
  uint32_t m = 0, n = 0, k = 0;
  std::string inputs;   ///< "f16", "i8", ...
  std::string results;  ///< "f32", "i32", ...
};

/// Matrices of a whole workgroup (VK_NV_cooperative_matrix2): each dimension is any multiple of `m`, `n` or `k`.
struct WorkgroupMatrixShape {
  uint32_t threads = 0;  ///< of the workgroup
  uint32_t m = 0, n = 0, k = 0;
  std::string inputs;
  std::string results;
};

struct MemoryHeap {
  uint64_t bytes = 0;
  bool device_local = false;
  bool mapped = false;         ///< the host can see at least a part of it
  uint64_t budget_bytes = 0;   ///< that this process may use now; the heap's size where the driver does not tell
  uint64_t process_bytes = 0;  ///< that this process uses
};

/// What was found on a device, and what hearth switches on.
struct GpuProperties {
  std::string name;
  std::string driver;
  std::string api_version;
  uint32_t vendor_id = 0, device_id = 0, driver_version = 0;
  std::array<uint8_t, VK_UUID_SIZE> pipeline_cache_uuid = {};
  VkPhysicalDeviceType type = VK_PHYSICAL_DEVICE_TYPE_OTHER;
  uint32_t compute_queue_family = 0;
  std::optional<uint32_t> transfer_queue_family;  ///< of an engine that copies beside compute, where there is one
  uint32_t subgroup_size = 0;                     ///< that shaders are compiled for
  uint32_t subgroup_min = 0, subgroup_max = 0;
  uint32_t shared_memory_bytes = 0;
  uint32_t max_workgroup_threads = 0;
  uint32_t compute_units = 0;  ///< multiprocessors; 0 where the driver does not say
  uint32_t max_push_constant_bytes = 0;
  uint64_t max_allocation_bytes = 0;
  float timestamp_ns = 0;   ///< of one tick; 0 without timestamps
  bool one_memory = false;  ///< host and device share it, or the whole device memory is mapped
  bool dot_product = false, dot_product_accelerated = false;
  bool buffer_device_address = false;
  bool memory_budget = false;
  bool external_host_memory = false;
  bool executable_properties = false;
  bool compiles_only = false;  ///< RADV's null device: compiles as for a GPU that is not there, executes nothing
  bool storage_16bit = false, storage_8bit = false, float16 = false, int8 = false;
  std::vector<CooperativeMatrixShape> cooperative_matrices;
  std::vector<WorkgroupMatrixShape>
      workgroup_matrices;                 ///< empty where cooperative-matrix-2 lacks what hearth uses of it
  std::vector<FragmentLayout> fragments;  ///< of matrices of f16, as far as learned (learn_fragments.h)
  uint32_t workgroup_matrix_threads = 0;  ///< most of a workgroup that has them
  std::vector<MemoryHeap> heaps;
  std::string obstacle;  ///< what keeps hearth from running on it, such as "no buffer device addresses"; empty for none
};

GpuProperties read_properties(VkPhysicalDevice physical);

/// Where work is submitted.
struct QueueFamilies {
  std::optional<uint32_t> compute;
  std::optional<uint32_t> transfer;  ///< one that does nothing but copy
};

/// The first of each kind.
QueueFamilies choose_queue_families(std::span<const VkQueueFamilyProperties> families);

/// The structures through which a device's features are asked for and switched on, in one chain.
struct FeatureChain {
  VkPhysicalDeviceFeatures2 core = {VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_FEATURES_2};
  VkPhysicalDeviceVulkan11Features v11 = {VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_VULKAN_1_1_FEATURES};
  VkPhysicalDeviceVulkan12Features v12 = {VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_VULKAN_1_2_FEATURES};
  VkPhysicalDeviceVulkan13Features v13 = {VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_VULKAN_1_3_FEATURES};
  VkPhysicalDeviceCooperativeMatrixFeaturesKHR matrix = {
      VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_COOPERATIVE_MATRIX_FEATURES_KHR};
  VkPhysicalDeviceCooperativeMatrix2FeaturesNV matrix2 = {
      VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_COOPERATIVE_MATRIX_2_FEATURES_NV};
  VkPhysicalDevicePipelineExecutablePropertiesFeaturesKHR executables = {
      VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_PIPELINE_EXECUTABLE_PROPERTIES_FEATURES_KHR};

  /// Which of the structures above that extensions brought the device knows.
  struct Known {
    bool matrix = false, matrix2 = false, executables = false;
  };
  explicit FeatureChain(const Known& known);
  FeatureChain(const FeatureChain&) = delete;
};

std::string_view type_name(VkPhysicalDeviceType type);

/// Everything above by name, for people and programs: what `hearth doctor` prints.
nlohmann::ordered_json describe(const GpuProperties& properties);

/// Which device is wanted: by its number in the loader's order, by a part of its name (case does not matter), or, with
/// neither, the best one.
struct GpuChoice {
  std::optional<uint32_t> index;
  std::string name;
  bool only_hardware = false;  ///< no processor that plays a GPU
};

/// The position in `found` of the device to open. Where the choice leaves several, devices that hearth cannot run on
/// are passed over, and a discrete GPU comes before an integrated one, that before a virtual one, and the CPU is last;
/// of one kind the one with most memory of its own. Errors: unsupported, naming what was found and why it cannot be
/// used.
Result<uint32_t> choose_gpu(std::span<const GpuProperties> found, const GpuChoice& choice);

}  // namespace hearth::vulkan
