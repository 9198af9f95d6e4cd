#pragma once

#include <volk.h>

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <mutex>
#include <set>
#include <type_traits>
#include <utility>

// For tests: makes a device run out of memory or get lost at a chosen call, lose its memory to others, or fail at what
// it claims to be able to do.
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
  std::atomic<uint64_t> left_bytes = UINT64_MAX;  ///< that others leave of each heap's budget
  std::atomic<bool> matrices_fail = false;        ///< no shader with cooperative matrices can be compiled
  std::atomic<uint32_t> matrices_failed = 0;      ///< how many were not

  void reset() {
    left_bytes = UINT64_MAX;
    matrices_fail = false;
    matrices_failed = 0;
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
  if (faults.submit_memory.fires()) return VK_ERROR_OUT_OF_DEVICE_MEMORY;
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

inline PFN_vkGetPhysicalDeviceMemoryProperties2 driver_memory_properties = nullptr;

inline VKAPI_ATTR void VKAPI_CALL shrink_budget(VkPhysicalDevice physical, VkPhysicalDeviceMemoryProperties2* result) {
  driver_memory_properties(physical, result);
  for (auto* next = static_cast<VkBaseOutStructure*>(result->pNext); next != nullptr; next = next->pNext) {
    if (next->sType != VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_MEMORY_BUDGET_PROPERTIES_EXT) continue;
    auto* budget = reinterpret_cast<VkPhysicalDeviceMemoryBudgetPropertiesEXT*>(next);
    for (uint32_t i = 0; i < result->memoryProperties.memoryHeapCount; ++i) {
      const VkDeviceSize free = budget->heapBudget[i] - std::min(budget->heapUsage[i], budget->heapBudget[i]);
      if (free > faults.left_bytes) budget->heapBudget[i] = budget->heapUsage[i] + faults.left_bytes;
    }
  }
}

inline std::mutex matrix_modules_mutex;
inline std::set<VkShaderModule> matrix_modules;  ///< whose code asks for cooperative matrices

/// Whether the capability CooperativeMatrixKHR is among a module's first instructions (SPIR-V, 2.3 and 2.4).
inline bool asks_for_matrices(const VkShaderModuleCreateInfo& info) {
  constexpr uint32_t kHeaderWords = 5, kOpCapability = 17, kCooperativeMatrix = 6022;
  for (size_t at = kHeaderWords; at + 1 < info.codeSize / 4; at += info.pCode[at] >> 16) {
    if ((info.pCode[at] & 0xffff) != kOpCapability) return false;
    if (info.pCode[at + 1] == kCooperativeMatrix) return true;
  }
  return false;
}

inline VKAPI_ATTR VkResult VKAPI_CALL note_module(VkDevice device, const VkShaderModuleCreateInfo* info,
                                                  const VkAllocationCallbacks* callbacks, VkShaderModule* module) {
  const VkResult made = MayRunOut<&VolkDeviceTable::vkCreateShaderModule, PFN_vkCreateShaderModule>::call(
      device, info, callbacks, module);
  const std::scoped_lock lock(matrix_modules_mutex);
  if (made != VK_SUCCESS) return made;
  matrix_modules.erase(*module);  // drivers give the handles of destroyed modules again
  if (asks_for_matrices(*info)) matrix_modules.insert(*module);
  return made;
}

inline VKAPI_ATTR VkResult VKAPI_CALL make_or_fail(VkDevice device, VkPipelineCache cache, uint32_t count,
                                                   const VkComputePipelineCreateInfo* infos,
                                                   const VkAllocationCallbacks* callbacks, VkPipeline* pipelines) {
  if (faults.matrices_fail) {
    const std::scoped_lock lock(matrix_modules_mutex);
    if (matrix_modules.contains(infos->stage.module)) {
      ++faults.matrices_failed;
      return VK_ERROR_INITIALIZATION_FAILED;
    }
  }
  return MayRunOut<&VolkDeviceTable::vkCreateComputePipelines, PFN_vkCreateComputePipelines>::call(
      device, cache, count, infos, callbacks, pipelines);
}

/// For VulkanOptions::wrap.
inline void inject_faults(VolkDeviceTable& table) {
  driver_table = table;
  let_run_out<&VolkDeviceTable::vkAllocateMemory, &VolkDeviceTable::vkCreateBuffer, &VolkDeviceTable::vkMapMemory,
              &VolkDeviceTable::vkCreateCommandPool, &VolkDeviceTable::vkAllocateCommandBuffers,
              &VolkDeviceTable::vkBeginCommandBuffer, &VolkDeviceTable::vkEndCommandBuffer,
              &VolkDeviceTable::vkCreateFence, &VolkDeviceTable::vkCreatePipelineLayout,
              &VolkDeviceTable::vkCreatePipelineCache>(table);
  table.vkCreateShaderModule = note_module;
  table.vkCreateComputePipelines = make_or_fail;
  table.vkQueueSubmit2 = submit_or_lose;
  table.vkWaitForFences = wait_or_lose;
  // Not a device's function, so it is none of the table's: volk keeps one for the process.
  if (vkGetPhysicalDeviceMemoryProperties2 != shrink_budget) {
    driver_memory_properties = std::exchange(vkGetPhysicalDeviceMemoryProperties2, shrink_budget);
  }
}

}  // namespace hearth::vulkan
