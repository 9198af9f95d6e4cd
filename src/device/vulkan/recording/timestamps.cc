#include "device/vulkan/recording/timestamps.h"

#include <utility>

namespace hearth::vulkan {

Result<Timestamps> Timestamps::create(const Gpu& gpu, uint32_t count) {
  if (gpu.properties().timestamp_ns == 0) return fail(ErrorCode::unsupported, "the device has no timestamps");
  Timestamps timestamps(gpu, count);
  const VkQueryPoolCreateInfo info = {
      .sType = VK_STRUCTURE_TYPE_QUERY_POOL_CREATE_INFO, .queryType = VK_QUERY_TYPE_TIMESTAMP, .queryCount = count};
  const VkResult made = gpu.vk().vkCreateQueryPool(gpu.device(), &info, nullptr, &timestamps.pool_);
  if (made != VK_SUCCESS) return fail_vulkan(made, "preparing timestamps");
  return timestamps;
}

Timestamps::~Timestamps() {
  if (gpu_ != nullptr) gpu_->vk().vkDestroyQueryPool(gpu_->device(), pool_, nullptr);
}

Timestamps::Timestamps(Timestamps&& other) noexcept { *this = std::move(other); }

Timestamps& Timestamps::operator=(Timestamps&& other) noexcept {
  std::swap(gpu_, other.gpu_);
  std::swap(count_, other.count_);
  std::swap(pool_, other.pool_);
  return *this;
}

void Timestamps::reset(VkCommandBuffer commands) const { gpu_->vk().vkCmdResetQueryPool(commands, pool_, 0, count_); }

Result<std::vector<double>> Timestamps::intervals() const {
  std::vector<uint64_t> ticks(count_);
  const VkResult got =
      gpu_->vk().vkGetQueryPoolResults(gpu_->device(), pool_, 0, count_, count_ * sizeof(uint64_t), ticks.data(),
                                       sizeof(uint64_t), VK_QUERY_RESULT_64_BIT | VK_QUERY_RESULT_WAIT_BIT);
  if (got != VK_SUCCESS) return fail_vulkan(got, "reading timestamps");
  std::vector<double> seconds;
  for (uint32_t i = 1; i < count_; ++i) {
    seconds.push_back(static_cast<double>(ticks[i] - ticks[i - 1]) * gpu_->properties().timestamp_ns * 1e-9);
  }
  return seconds;
}

}  // namespace hearth::vulkan
