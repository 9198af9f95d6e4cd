#pragma once

#include <volk.h>

#include <array>
#include <atomic>
#include <cstdint>
#include <map>
#include <mutex>
#include <utility>

// For tests: a software GPU that says it was an integrated one, with the two heaps that RADV cuts out of one memory.
namespace hearth::vulkan {

/// Sizes of the heaps, and what lies in them.
struct PretendedHeaps {
  std::array<uint64_t, 2> bytes = {};  ///< the device's, the host's
  std::mutex mutex;                    // guards what follows
  std::array<uint64_t, 2> used = {};
  std::map<VkDeviceMemory, std::pair<uint32_t, uint64_t>> allocations;  ///< heap and bytes
};
inline PretendedHeaps pretended_heaps;

/// As long as it lives, for all devices that are opened with `wrap` as VulkanOptions::wrap. One at a time.
class PretendedApu {
 public:
  PretendedApu(uint64_t device_bytes, uint64_t host_bytes) {
    pretended_heaps.bytes = {device_bytes, host_bytes};
    pretended_heaps.used = {};
    properties() = std::exchange(vkGetPhysicalDeviceProperties, pretend_integrated);
    memory() = std::exchange(vkGetPhysicalDeviceMemoryProperties, pretend_memory);
    memory2() = std::exchange(vkGetPhysicalDeviceMemoryProperties2, pretend_budget);
  }
  ~PretendedApu() {
    vkGetPhysicalDeviceProperties = properties();
    vkGetPhysicalDeviceMemoryProperties = memory();
    vkGetPhysicalDeviceMemoryProperties2 = memory2();
  }
  PretendedApu(const PretendedApu&) = delete;
  PretendedApu& operator=(const PretendedApu&) = delete;

  static void wrap(VolkDeviceTable& table) {
    driver() = table;
    table.vkGetBufferMemoryRequirements = allow_both;
    table.vkAllocateMemory = allocate;
    table.vkFreeMemory = free;
  }

 private:
  static PFN_vkGetPhysicalDeviceProperties& properties() {
    static PFN_vkGetPhysicalDeviceProperties function = nullptr;
    return function;
  }
  static PFN_vkGetPhysicalDeviceMemoryProperties& memory() {
    static PFN_vkGetPhysicalDeviceMemoryProperties function = nullptr;
    return function;
  }
  static PFN_vkGetPhysicalDeviceMemoryProperties2& memory2() {
    static PFN_vkGetPhysicalDeviceMemoryProperties2 function = nullptr;
    return function;
  }
  static VolkDeviceTable& driver() {
    static VolkDeviceTable table;
    return table;
  }

  static VKAPI_ATTR void VKAPI_CALL pretend_integrated(VkPhysicalDevice physical, VkPhysicalDeviceProperties* result) {
    properties()(physical, result);
    result->deviceType = VK_PHYSICAL_DEVICE_TYPE_INTEGRATED_GPU;
  }

  static VKAPI_ATTR void VKAPI_CALL pretend_memory(VkPhysicalDevice physical,
                                                   VkPhysicalDeviceMemoryProperties* result) {
    memory()(physical, result);
    cut(*result);
  }

  static VKAPI_ATTR void VKAPI_CALL pretend_budget(VkPhysicalDevice physical,
                                                   VkPhysicalDeviceMemoryProperties2* result) {
    memory2()(physical, result);
    cut(result->memoryProperties);
    for (auto* next = static_cast<VkBaseOutStructure*>(result->pNext); next != nullptr; next = next->pNext) {
      if (next->sType != VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_MEMORY_BUDGET_PROPERTIES_EXT) continue;
      auto* budget = reinterpret_cast<VkPhysicalDeviceMemoryBudgetPropertiesEXT*>(next);
      const std::scoped_lock lock(pretended_heaps.mutex);
      for (uint32_t heap = 0; heap < 2; ++heap) {
        budget->heapBudget[heap] = pretended_heaps.bytes[heap];
        budget->heapUsage[heap] = pretended_heaps.used[heap];
      }
    }
  }

  /// Type 0 in the device's heap, type 1 in the host's.
  static void cut(VkPhysicalDeviceMemoryProperties& properties) {
    constexpr VkMemoryPropertyFlags kMapped =
        VK_MEMORY_PROPERTY_HOST_VISIBLE_BIT | VK_MEMORY_PROPERTY_HOST_COHERENT_BIT;
    properties.memoryHeapCount = 2;
    properties.memoryHeaps[0] = {pretended_heaps.bytes[0], VK_MEMORY_HEAP_DEVICE_LOCAL_BIT};
    properties.memoryHeaps[1] = {pretended_heaps.bytes[1], 0};
    properties.memoryTypeCount = 2;
    properties.memoryTypes[0] = {VK_MEMORY_PROPERTY_DEVICE_LOCAL_BIT | kMapped, 0};
    properties.memoryTypes[1] = {kMapped | VK_MEMORY_PROPERTY_HOST_CACHED_BIT, 1};
  }

  static VKAPI_ATTR void VKAPI_CALL allow_both(VkDevice device, VkBuffer buffer, VkMemoryRequirements* needs) {
    driver().vkGetBufferMemoryRequirements(device, buffer, needs);
    needs->memoryTypeBits = 3;
  }

  static VKAPI_ATTR VkResult VKAPI_CALL allocate(VkDevice device, const VkMemoryAllocateInfo* info,
                                                 const VkAllocationCallbacks* callbacks, VkDeviceMemory* made) {
    VkMemoryAllocateInfo real = *info;
    real.memoryTypeIndex = 0;
    const VkResult result = driver().vkAllocateMemory(device, &real, callbacks, made);
    if (result != VK_SUCCESS) return result;
    const std::scoped_lock lock(pretended_heaps.mutex);
    pretended_heaps.used[info->memoryTypeIndex] += info->allocationSize;
    pretended_heaps.allocations[*made] = {info->memoryTypeIndex, info->allocationSize};
    return result;
  }

  static VKAPI_ATTR void VKAPI_CALL free(VkDevice device, VkDeviceMemory memory,
                                         const VkAllocationCallbacks* callbacks) {
    {
      const std::scoped_lock lock(pretended_heaps.mutex);
      const auto [heap, bytes] = pretended_heaps.allocations[memory];
      pretended_heaps.used[heap] -= bytes;
      pretended_heaps.allocations.erase(memory);
    }
    driver().vkFreeMemory(device, memory, callbacks);
  }
};

}  // namespace hearth::vulkan
