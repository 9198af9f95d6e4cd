#pragma once

#include <volk.h>

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "base/result.h"
#include "device/vulkan/gpu_properties.h"

namespace hearth::vulkan {

/// Error for a failed call: out_of_memory, device_lost or internal, named after `what`.
std::unexpected<Error> fail_vulkan(VkResult result, const std::string& what);

class BufferPool;

struct GpuOptions {
  GpuChoice choice;
  bool validation = false;  ///< Khronos' validation layer with synchronisation validation
  /// For tests: uploads through staging buffers even where the device's memory could be mapped.
  bool staging = false;
  /// Lets tests put functions of their own before the driver's, to make calls fail.
  std::function<void(VolkDeviceTable&)> wrap = {};
};

/// One device, one queue of it, and its pool of staging buffers. Thread-safe but for the queue, which `submit` locks.
class Gpu {
 public:
  /// Errors: unsupported (no loader, no such device, too old, no validation layer when asked for), out_of_memory.
  static Result<std::unique_ptr<Gpu>> open(const GpuOptions& options);

  /// All devices in the order of GpuChoice::index, those that hearth cannot run on too. Errors: unsupported.
  static Result<std::vector<GpuProperties>> list();

  ~Gpu();
  Gpu(const Gpu&) = delete;
  Gpu& operator=(const Gpu&) = delete;

  VkDevice device() const { return device_; }
  VkPhysicalDevice physical() const { return physical_; }
  const VolkDeviceTable& vk() const { return table_; }
  uint32_t queue_family() const { return properties_.compute_queue_family; }
  const GpuProperties& properties() const { return properties_; }
  const VkPhysicalDeviceMemoryProperties& memory() const { return memory_; }

  /// Programs made from now on use no cooperative matrices. Not while others are made.
  void give_up_matrices() { properties_.cooperative_matrices.clear(); }

  BufferPool& pool() const { return *pool_; }

  /// Bytes that can still be allocated from a heap by this process, by the driver's budget, else by the heap's size.
  uint64_t available_bytes(uint32_t heap) const;

  /// Submits and signals `fence`. Thread-safe.
  Result<void> submit(VkCommandBuffer commands, VkFence fence);

  /// Submits so far.
  uint64_t submits() const { return submits_; }

  /// Waits for the fence of a submit and resets it; `what` names the work in errors.
  Result<void> wait(VkFence fence, const std::string& what) const;

 private:
  Gpu();
  Result<void> create_device();

  VkPhysicalDevice physical_ = VK_NULL_HANDLE;
  VkDevice device_ = VK_NULL_HANDLE;
  VkQueue queue_ = VK_NULL_HANDLE;
  VolkDeviceTable table_ = {};
  VkPhysicalDeviceMemoryProperties memory_ = {};
  GpuProperties properties_;
  std::atomic<uint64_t> submits_ = 0;
  std::mutex queue_mutex_;
  std::unique_ptr<BufferPool> pool_;
};

}  // namespace hearth::vulkan
