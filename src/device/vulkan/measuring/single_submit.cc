#include "device/vulkan/measuring/single_submit.h"

#include <utility>

namespace hearth::vulkan {

Result<SingleSubmit> SingleSubmit::begin(Gpu& gpu, std::string what) {
  SingleSubmit commands(gpu, std::move(what));
  const VolkDeviceTable& vk = gpu.vk();
  const VkCommandPoolCreateInfo pool = {.sType = VK_STRUCTURE_TYPE_COMMAND_POOL_CREATE_INFO,
                                        .queueFamilyIndex = gpu.queue_family()};
  const VkFenceCreateInfo fence = {.sType = VK_STRUCTURE_TYPE_FENCE_CREATE_INFO};
  VkResult made = vk.vkCreateCommandPool(gpu.device(), &pool, nullptr, &commands.pool_);
  if (made == VK_SUCCESS) made = vk.vkCreateFence(gpu.device(), &fence, nullptr, &commands.fence_);
  const VkCommandBufferAllocateInfo info = {.sType = VK_STRUCTURE_TYPE_COMMAND_BUFFER_ALLOCATE_INFO,
                                            .commandPool = commands.pool_,
                                            .level = VK_COMMAND_BUFFER_LEVEL_PRIMARY,
                                            .commandBufferCount = 1};
  if (made == VK_SUCCESS) made = vk.vkAllocateCommandBuffers(gpu.device(), &info, &commands.buffer_);
  if (made != VK_SUCCESS) return fail_vulkan(made, commands.what_);
  const VkCommandBufferBeginInfo begin = {.sType = VK_STRUCTURE_TYPE_COMMAND_BUFFER_BEGIN_INFO,
                                          .flags = VK_COMMAND_BUFFER_USAGE_ONE_TIME_SUBMIT_BIT};
  vk.vkBeginCommandBuffer(commands.buffer_, &begin);
  return commands;
}

SingleSubmit::~SingleSubmit() {
  gpu_->vk().vkDestroyFence(gpu_->device(), fence_, nullptr);
  gpu_->vk().vkDestroyCommandPool(gpu_->device(), pool_, nullptr);
}

SingleSubmit::SingleSubmit(SingleSubmit&& other) noexcept
    : gpu_(other.gpu_),
      what_(std::move(other.what_)),
      pool_(std::exchange(other.pool_, VK_NULL_HANDLE)),
      fence_(std::exchange(other.fence_, VK_NULL_HANDLE)),
      buffer_(other.buffer_) {}

void SingleSubmit::fill(const Buffer& target, uint32_t word) {
  gpu_->vk().vkCmdFillBuffer(buffer_, target.handle(), 0, VK_WHOLE_SIZE, word);
  const VkMemoryBarrier2 memory = {
      .sType = VK_STRUCTURE_TYPE_MEMORY_BARRIER_2,
      .srcStageMask = VK_PIPELINE_STAGE_2_CLEAR_BIT,
      .srcAccessMask = VK_ACCESS_2_TRANSFER_WRITE_BIT,
      .dstStageMask = VK_PIPELINE_STAGE_2_COMPUTE_SHADER_BIT,
      .dstAccessMask = VK_ACCESS_2_SHADER_STORAGE_READ_BIT | VK_ACCESS_2_SHADER_STORAGE_WRITE_BIT};
  const VkDependencyInfo info = {
      .sType = VK_STRUCTURE_TYPE_DEPENDENCY_INFO, .memoryBarrierCount = 1, .pMemoryBarriers = &memory};
  gpu_->vk().vkCmdPipelineBarrier2(buffer_, &info);
}

Result<void> SingleSubmit::run() {
  const VkResult ended = gpu_->vk().vkEndCommandBuffer(buffer_);
  if (ended != VK_SUCCESS) return fail_vulkan(ended, what_);
  if (auto submitted = gpu_->submit(buffer_, fence_); !submitted) return submitted;
  return gpu_->wait(fence_, what_);
}

}  // namespace hearth::vulkan
