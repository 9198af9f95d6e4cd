#include "device/vulkan/gpu/gpu.h"

#include <fmt/format.h>

#include <set>

#include "device/vulkan/gpu/instance.h"

namespace hearth::vulkan {

std::unexpected<Error> fail_vulkan(VkResult result, const std::string& what) {
  switch (result) {
    case VK_ERROR_OUT_OF_HOST_MEMORY:
    case VK_ERROR_OUT_OF_DEVICE_MEMORY:
    case VK_ERROR_TOO_MANY_OBJECTS:
      return fail(ErrorCode::out_of_memory, fmt::format("{}: the device has no memory left", what),
                  "use a smaller model, a shorter context or fewer sequences");
    case VK_ERROR_DEVICE_LOST:
      return fail(ErrorCode::device_lost, fmt::format("{}: the device was lost", what),
                  "the kernel's log names the reason; start again");
    default:
      return fail(ErrorCode::internal, fmt::format("{}: Vulkan error {}", what, static_cast<int>(result)));
  }
}

Result<std::unique_ptr<Gpu>> Gpu::open(const GpuOptions& options) {
  auto instance = Instance::get(options.validation);
  if (!instance) return pass_on(instance);
  const auto devices = (*instance)->devices();
  std::vector<GpuProperties> found;
  for (VkPhysicalDevice physical : devices) found.push_back(read_properties(physical));
  auto chosen = choose_gpu(found, options.choice);
  if (!chosen) return pass_on(chosen);

  std::unique_ptr<Gpu> gpu(new Gpu());
  gpu->physical_ = devices[*chosen];
  gpu->properties_ = std::move(found[*chosen]);
  if (options.staging) gpu->properties_.one_memory = false;
  if (gpu->properties_.one_memory) gpu->properties_.transfer_queue_family.reset();  // nothing is copied
  vkGetPhysicalDeviceMemoryProperties(gpu->physical_, &gpu->memory_);
  if (auto made = gpu->create_device(); !made) return pass_on(made);
  if (options.wrap) options.wrap(gpu->table_);
  return gpu;
}

Result<std::vector<GpuProperties>> Gpu::list() {
  auto instance = Instance::get(false);
  if (!instance) return pass_on(instance);
  std::vector<GpuProperties> found;
  for (VkPhysicalDevice physical : (*instance)->devices()) found.push_back(read_properties(physical));
  return found;
}

Gpu::Gpu() = default;

Gpu::~Gpu() {
  if (device_ == VK_NULL_HANDLE) return;
  if (!properties_.compiles_only) table_.vkDeviceWaitIdle(device_);
  table_.vkDestroyDevice(device_, nullptr);
}

Result<void> Gpu::create_device() {
  const GpuProperties& p = properties_;
  const bool has_matrix2 = !p.workgroup_matrices.empty();
  const FeatureChain::Known known = {
      .matrix = !p.cooperative_matrices.empty(), .matrix2 = has_matrix2, .executables = p.executable_properties};
  FeatureChain wanted(known);
  FeatureChain found(known);
  vkGetPhysicalDeviceFeatures2(physical_, &found.core);
  wanted.core.features.shaderInt16 = found.core.features.shaderInt16;
  wanted.v11.storageBuffer16BitAccess = p.storage_16bit;
  wanted.v12.storageBuffer8BitAccess = p.storage_8bit;
  wanted.v12.shaderFloat16 = p.float16;
  wanted.v12.shaderInt8 = p.int8;
  wanted.v12.bufferDeviceAddress = VK_TRUE;
  wanted.v12.vulkanMemoryModel = VK_TRUE;
  wanted.v12.vulkanMemoryModelDeviceScope = found.v12.vulkanMemoryModelDeviceScope;
  wanted.v13.synchronization2 = VK_TRUE;
  wanted.v13.shaderIntegerDotProduct = VK_TRUE;
  wanted.v13.subgroupSizeControl = VK_TRUE;
  wanted.v13.computeFullSubgroups = VK_TRUE;
  wanted.v13.maintenance4 = found.v13.maintenance4;
  wanted.matrix.cooperativeMatrix = found.matrix.cooperativeMatrix;
  wanted.matrix2.cooperativeMatrixWorkgroupScope = has_matrix2;
  wanted.matrix2.cooperativeMatrixFlexibleDimensions = has_matrix2;
  wanted.matrix2.cooperativeMatrixPerElementOperations = has_matrix2;
  wanted.matrix2.cooperativeMatrixTensorAddressing = has_matrix2;
  wanted.matrix2.cooperativeMatrixBlockLoads = has_matrix2;
  wanted.executables.pipelineExecutableInfo = p.executable_properties;

  std::vector<const char*> extensions;
  if (p.memory_budget) extensions.push_back(VK_EXT_MEMORY_BUDGET_EXTENSION_NAME);
  if (p.executable_properties) extensions.push_back(VK_KHR_PIPELINE_EXECUTABLE_PROPERTIES_EXTENSION_NAME);
  if (!p.cooperative_matrices.empty()) extensions.push_back(VK_KHR_COOPERATIVE_MATRIX_EXTENSION_NAME);
  if (has_matrix2) extensions.push_back(VK_NV_COOPERATIVE_MATRIX_2_EXTENSION_NAME);

  const float priority = 1.0F;
  std::vector<VkDeviceQueueCreateInfo> queues;
  for (const uint32_t family : std::set{queue_family(), upload_queue_family()}) {
    queues.push_back({.sType = VK_STRUCTURE_TYPE_DEVICE_QUEUE_CREATE_INFO,
                      .queueFamilyIndex = family,
                      .queueCount = 1,
                      .pQueuePriorities = &priority});
  }
  const VkDeviceCreateInfo info = {.sType = VK_STRUCTURE_TYPE_DEVICE_CREATE_INFO,
                                   .pNext = &wanted.core,
                                   .queueCreateInfoCount = static_cast<uint32_t>(queues.size()),
                                   .pQueueCreateInfos = queues.data(),
                                   .enabledExtensionCount = static_cast<uint32_t>(extensions.size()),
                                   .ppEnabledExtensionNames = extensions.data()};
  if (const VkResult made = vkCreateDevice(physical_, &info, nullptr, &device_); made != VK_SUCCESS) {
    return fail_vulkan(made, fmt::format("opening {}", p.name));
  }
  volkLoadDeviceTable(&table_, device_);
  table_.vkGetDeviceQueue(device_, queue_family(), 0, &queue_.handle);
  if (p.transfer_queue_family) table_.vkGetDeviceQueue(device_, upload_queue_family(), 0, &upload_queue_.handle);
  return {};
}

int64_t Gpu::available_bytes(uint32_t heap) const {
  if (!properties_.memory_budget) return static_cast<int64_t>(memory_.memoryHeaps[heap].size);
  VkPhysicalDeviceMemoryBudgetPropertiesEXT budget = {VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_MEMORY_BUDGET_PROPERTIES_EXT};
  VkPhysicalDeviceMemoryProperties2 properties = {VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_MEMORY_PROPERTIES_2, &budget};
  vkGetPhysicalDeviceMemoryProperties2(physical_, &properties);
  return static_cast<int64_t>(budget.heapBudget[heap]) - static_cast<int64_t>(budget.heapUsage[heap]);
}

Result<void> Gpu::submit(VkCommandBuffer commands, VkFence fence) { return submit_to(queue_, commands, fence); }

Result<void> Gpu::submit_upload(VkCommandBuffer commands, VkFence fence) {
  return submit_to(properties_.transfer_queue_family ? upload_queue_ : queue_, commands, fence);
}

Result<void> Gpu::submit_to(Queue& queue, VkCommandBuffer commands, VkFence fence) {
  const VkCommandBufferSubmitInfo buffer = {.sType = VK_STRUCTURE_TYPE_COMMAND_BUFFER_SUBMIT_INFO,
                                            .commandBuffer = commands};
  const VkSubmitInfo2 info = {
      .sType = VK_STRUCTURE_TYPE_SUBMIT_INFO_2, .commandBufferInfoCount = 1, .pCommandBufferInfos = &buffer};
  const std::scoped_lock lock(queue.mutex);
  const VkResult submitted = table_.vkQueueSubmit2(queue.handle, 1, &info, fence);
  if (submitted != VK_SUCCESS) return fail_vulkan(submitted, "submitting work");
  ++submits_;
  return {};
}

Result<void> Gpu::wait(VkFence fence, const std::string& what) const {
  const VkResult waited = table_.vkWaitForFences(device_, 1, &fence, VK_TRUE, UINT64_MAX);
  if (waited != VK_SUCCESS) return fail_vulkan(waited, what);
  table_.vkResetFences(device_, 1, &fence);
  return {};
}

}  // namespace hearth::vulkan
