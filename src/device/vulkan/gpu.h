#pragma once

#include <volk.h>

#include <atomic>
#include <cstdint>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "base/result.h"

namespace hearth::vulkan {

/// Error for a failed call: out_of_memory, device_lost or internal, named after `what`.
std::unexpected<Error> fail_vulkan(VkResult result, const std::string& what);

struct CooperativeMatrixShape {
  uint32_t m = 0, n = 0, k = 0;
  std::string inputs;   ///< "f16", "i8", ...
  std::string results;  ///< "f32", "i32", ...
};

/// What was found on a device, and what hearth switched on.
struct GpuProperties {
  std::string name;
  std::string driver;
  std::string api_version;
  VkPhysicalDeviceType type = VK_PHYSICAL_DEVICE_TYPE_OTHER;
  uint32_t subgroup_size = 0;  ///< that shaders are compiled for
  uint32_t subgroup_min = 0, subgroup_max = 0;
  uint32_t shared_memory_bytes = 0;
  uint32_t max_workgroup_threads = 0;
  uint32_t max_push_constant_bytes = 0;
  uint64_t max_allocation_bytes = 0;
  float timestamp_ns = 0;   ///< of one tick; 0 without timestamps
  bool one_memory = false;  ///< host and device share it, or the whole device memory is mapped
  bool dot_product_accelerated = false;
  bool memory_budget = false;
  bool executable_properties = false;
  bool compiles_only = false;  ///< RADV's null device: compiles as for a GPU that is not there, executes nothing
  bool storage_16bit = false, storage_8bit = false, float16 = false, int8 = false;
  bool cooperative_matrix2 = false;
  std::vector<CooperativeMatrixShape> cooperative_matrices;
};

struct GpuOptions {
  uint32_t index = 0;       ///< in the loader's order
  bool validation = false;  ///< Khronos' validation layer with synchronisation validation
};

/// An instance, one of its devices and one queue of it. Thread-safe but for the queue, which `submit` locks.
class Gpu {
 public:
  /// Errors: unsupported (no loader, no such device, too old, no validation layer when asked for).
  static Result<std::unique_ptr<Gpu>> open(const GpuOptions& options);

  /// Names of all devices, in the order of GpuOptions::index; empty without a loader.
  static std::vector<std::string> list();

  ~Gpu();
  Gpu(const Gpu&) = delete;
  Gpu& operator=(const Gpu&) = delete;

  VkDevice device() const { return device_; }
  VkPhysicalDevice physical() const { return physical_; }
  const VolkDeviceTable& vk() const { return table_; }
  uint32_t queue_family() const { return queue_family_; }
  const GpuProperties& properties() const { return properties_; }
  const VkPhysicalDeviceMemoryProperties& memory() const { return memory_; }

  /// Bytes that can still be allocated from a heap by this process, by the driver's budget, else by the heap's size.
  uint64_t available_bytes(uint32_t heap) const;

  /// Submits and signals `fence`. Thread-safe.
  Result<void> submit(VkCommandBuffer commands, VkFence fence);

  /// Submits so far.
  uint64_t submits() const { return submits_; }

  /// Messages of the validation layer so far; 0 is the only good number.
  uint32_t validation_messages() const { return messages_; }

 private:
  Gpu() = default;
  Result<void> create_instance(bool validation);
  Result<void> choose_device(uint32_t index);
  Result<void> create_device();
  void read_properties();

  VkInstance instance_ = VK_NULL_HANDLE;
  VkDebugUtilsMessengerEXT messenger_ = VK_NULL_HANDLE;
  VkPhysicalDevice physical_ = VK_NULL_HANDLE;
  VkDevice device_ = VK_NULL_HANDLE;
  VkQueue queue_ = VK_NULL_HANDLE;
  uint32_t queue_family_ = 0;
  VolkDeviceTable table_ = {};
  VkPhysicalDeviceMemoryProperties memory_ = {};
  GpuProperties properties_;
  std::vector<std::string> extensions_;
  std::atomic<uint32_t> messages_ = 0;
  std::atomic<uint64_t> submits_ = 0;
  std::mutex queue_mutex_;
};

}  // namespace hearth::vulkan
