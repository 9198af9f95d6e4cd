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
#include "device/memory_ledger.h"
#include "device/vulkan/gpu/gpu_properties.h"

namespace hearth::vulkan {

/// Error for a failed call: out_of_memory, device_lost or internal, named after `what`.
std::unexpected<Error> fail_vulkan(VkResult result, const std::string& what);

struct GpuOptions {
  GpuChoice choice;
  bool validation = false;  ///< Khronos' validation layer with synchronisation validation
  /// For tests: uploads through staging buffers even where the device's memory could be mapped.
  bool staging = false;
  /// Lets tests put functions of their own before the driver's, to make calls fail.
  std::function<void(VolkDeviceTable&)> wrap = {};
};

/// One device, a queue of it for compute and, where uploads need it and the device has it, one for copies beside it.
/// Thread-safe.
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
  /// Of the queue for uploads: the same as queue_family() where there is no other.
  uint32_t upload_queue_family() const { return properties_.transfer_queue_family.value_or(queue_family()); }
  const GpuProperties& properties() const { return properties_; }
  const VkPhysicalDeviceMemoryProperties& memory() const { return memory_; }

  /// Programs made from now on use no cooperative matrices. Not while others are made.
  void give_up_matrices() {
    properties_.cooperative_matrices.clear();
    properties_.workgroup_matrices.clear();
    properties_.fragments.clear();
  }

  /// For programs made from now on. Not while others are made.
  void set_fragments(std::vector<FragmentLayout> learned) { properties_.fragments = std::move(learned); }

  MemoryLedger& ledger() const { return *ledger_; }

  /// What the driver grants this process of a heap, less what it has; all of the heap where the driver keeps no
  /// budgets. Below zero when others have taken what it has.
  int64_t available_bytes(uint32_t heap) const;

  /// Submits and signals `fence`. Thread-safe.
  Result<void> submit(VkCommandBuffer commands, VkFence fence);

  /// The same to the queue for uploads. Of the work that is submitted to the other one once the fence was waited for,
  /// all sees what was copied.
  Result<void> submit_upload(VkCommandBuffer commands, VkFence fence);

  /// Submits so far.
  uint64_t submits() const { return submits_; }

  /// Waits for the fence of a submit and resets it; `what` names the work in errors.
  Result<void> wait(VkFence fence, const std::string& what) const;

 private:
  Gpu();
  Result<void> create_device();

  VkPhysicalDevice physical_ = VK_NULL_HANDLE;
  VkDevice device_ = VK_NULL_HANDLE;
  struct Queue {
    VkQueue handle = VK_NULL_HANDLE;
    std::mutex mutex;  ///< a queue is for one thread at a time
  };
  Result<void> submit_to(Queue& queue, VkCommandBuffer commands, VkFence fence);

  Queue queue_, upload_queue_;
  VolkDeviceTable table_ = {};
  VkPhysicalDeviceMemoryProperties memory_ = {};
  GpuProperties properties_;
  std::atomic<uint64_t> submits_ = 0;
  std::unique_ptr<MemoryLedger> ledger_ = std::make_unique<MemoryLedger>();
};

}  // namespace hearth::vulkan
