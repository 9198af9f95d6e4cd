#pragma once

#include <volk.h>

#include <atomic>
#include <type_traits>

// For tests: makes a device run out of memory, or get lost, at a chosen call.
namespace hearth::vulkan {

/// Calls that still succeed before the next one fails, once; never by default.
class Countdown {
 public:
  void start(int calls) { left_ = calls; }
  void stop() { left_ = kNever; }
  /// True for the call that fails.
  bool fires() {
    if (left_ == kNever) return false;
    return left_-- == 0;
  }
  /// Whether it failed since start.
  bool fired() const { return left_ < 0 && left_ != kNever; }

 private:
  static constexpr int kNever = -1000000;
  std::atomic<int> left_ = kNever;
};

/// What fails on the devices opened with `wrap`; one set of faults for the process.
struct Faults {
  Countdown allocation;  ///< of anything that a driver may have no memory for: VK_ERROR_OUT_OF_DEVICE_MEMORY
  std::atomic<uint64_t> allocations = 0;  ///< calls of such functions, failed or not
  Countdown submit_memory;                ///< of a submit, as above
  Countdown submit;                       ///< the device is lost from here on
  Countdown wait;                         ///< the same, once the work has ended
  std::atomic<bool> lost = false;

  void reset() {
    allocation.stop();
    submit_memory.stop();
    submit.stop();
    wait.stop();
    lost = false;
  }
};

/// Calls so far of a function that may run out of memory, in the whole process.
template <auto Entry>
inline std::atomic<uint64_t> calls_of = 0;

inline Faults faults;
inline VolkDeviceTable driver_table;  ///< the driver's own functions

/// The function that stands before an entry of the table which may run out of memory.
template <auto Entry, class Function>
struct MayRunOut;
template <auto Entry, class... Arguments>
struct MayRunOut<Entry, VkResult(VKAPI_PTR*)(Arguments...)> {
  static VKAPI_ATTR VkResult VKAPI_CALL call(Arguments... arguments) {
    ++calls_of<Entry>;
    ++faults.allocations;
    if (faults.allocation.fires()) return VK_ERROR_OUT_OF_DEVICE_MEMORY;
    return (driver_table.*Entry)(arguments...);
  }
};

template <auto... Entries>
void let_run_out(VolkDeviceTable& table) {
  ((table.*Entries = MayRunOut<Entries, std::remove_reference_t<decltype(table.*Entries)>>::call), ...);
}

inline VKAPI_ATTR VkResult VKAPI_CALL submit_or_lose(VkQueue queue, uint32_t count, const VkSubmitInfo2* submits,
                                                     VkFence fence) {
  if (faults.allocation.fires() || faults.submit_memory.fires()) return VK_ERROR_OUT_OF_DEVICE_MEMORY;
  if (faults.submit.fires()) faults.lost = true;
  return faults.lost ? VK_ERROR_DEVICE_LOST : driver_table.vkQueueSubmit2(queue, count, submits, fence);
}

inline VKAPI_ATTR VkResult VKAPI_CALL wait_or_lose(VkDevice device, uint32_t count, const VkFence* fences, VkBool32 all,
                                                   uint64_t timeout) {
  if (faults.wait.fires()) faults.lost = true;
  if (!faults.lost) return driver_table.vkWaitForFences(device, count, fences, all, timeout);
  driver_table.vkDeviceWaitIdle(device);  // nothing runs on a lost device
  return VK_ERROR_DEVICE_LOST;
}

/// For VulkanOptions::wrap.
inline void inject_faults(VolkDeviceTable& table) {
  driver_table = table;
  let_run_out<&VolkDeviceTable::vkAllocateMemory, &VolkDeviceTable::vkCreateBuffer, &VolkDeviceTable::vkMapMemory,
              &VolkDeviceTable::vkCreateCommandPool, &VolkDeviceTable::vkAllocateCommandBuffers,
              &VolkDeviceTable::vkBeginCommandBuffer, &VolkDeviceTable::vkEndCommandBuffer,
              &VolkDeviceTable::vkCreateFence, &VolkDeviceTable::vkCreateShaderModule,
              &VolkDeviceTable::vkCreatePipelineLayout, &VolkDeviceTable::vkCreatePipelineCache,
              &VolkDeviceTable::vkCreateComputePipelines>(table);
  table.vkQueueSubmit2 = submit_or_lose;
  table.vkWaitForFences = wait_or_lose;
}

}  // namespace hearth::vulkan
