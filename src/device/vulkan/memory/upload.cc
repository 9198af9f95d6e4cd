#include "device/vulkan/memory/upload.h"

#include <algorithm>
#include <cstring>

namespace hearth::vulkan {

Uploader::~Uploader() {
  (void)finish();  // a lost device has nothing left to wait for
}

Result<void> Uploader::write(const Slice& slice, uint64_t offset, std::span<const std::byte> bytes,
                             const std::shared_ptr<void>& kept) {
  if (bytes.empty()) return {};  // of ropes in a model that has none; memcpy wants a source even for nothing
  if (std::byte* mapped = slice.mapped()) {
    std::memcpy(mapped + offset, bytes.data(), bytes.size());
    return {};
  }
  for (uint64_t done = 0; done < bytes.size(); done += kStagingBytes) {
    const auto piece = bytes.subspan(done, std::min<uint64_t>(kStagingBytes, bytes.size() - done));
    if (auto written = write_piece(slice, offset + done, piece, kept); !written) return written;
  }
  return {};
}

Result<void> Uploader::write_piece(const Slice& slice, uint64_t offset, std::span<const std::byte> bytes,
                                   const std::shared_ptr<void>& kept) {
  auto taken = take();
  if (!taken) return pass_on(taken);
  auto copied = copy_through(**taken, slice, offset, bytes);
  if (copied) (*taken)->kept = kept;
  give_back(*taken);
  return copied;
}

Result<void> Uploader::copy_through(Staging& staging, const Slice& slice, uint64_t offset,
                                    std::span<const std::byte> bytes) {
  if (auto ready = wait(staging); !ready) return ready;
  if (!staging.lease || staging.lease.buffer().bytes() < bytes.size()) {
    auto lease = pool_.take(bytes.size());
    if (!lease) return pass_on(lease);
    staging.lease = std::move(*lease);
  }
  std::memcpy(staging.lease.buffer().mapped(), bytes.data(), bytes.size());
  const VolkDeviceTable& vk = gpu_.vk();
  const VkCommandBufferBeginInfo begin = {.sType = VK_STRUCTURE_TYPE_COMMAND_BUFFER_BEGIN_INFO,
                                          .flags = VK_COMMAND_BUFFER_USAGE_ONE_TIME_SUBMIT_BIT};
  VkResult made = vk.vkResetCommandPool(gpu_.device(), staging.pool, 0);
  if (made == VK_SUCCESS) made = vk.vkBeginCommandBuffer(staging.commands, &begin);
  if (made == VK_SUCCESS) {
    const VkBufferCopy region = {.dstOffset = slice.offset + offset, .size = bytes.size()};
    vk.vkCmdCopyBuffer(staging.commands, staging.lease.buffer().handle(), slice.buffer->handle(), 1, &region);
    made = vk.vkEndCommandBuffer(staging.commands);
  }
  if (made != VK_SUCCESS) return fail_vulkan(made, "recording an upload");
  if (auto submitted = gpu_.submit_upload(staging.commands, staging.fence); !submitted) return submitted;
  staging.in_flight = true;
  return {};
}

Result<Uploader::Staging*> Uploader::take() {
  std::unique_lock lock(mutex_);
  if (free_.empty() && staging_.size() < kStagingBuffers) {
    auto staging = std::make_unique<Staging>();
    if (auto opened = open_staging(*staging); !opened) {
      close_staging(*staging);
      return pass_on(opened);
    }
    free_.push_back(staging.get());
    staging_.push_back(std::move(staging));
  }
  returned_.wait(lock, [&] { return !free_.empty(); });
  // The oldest, whose copy has most likely ended.
  Staging* taken = free_.front();
  free_.erase(free_.begin());
  return taken;
}

void Uploader::give_back(Staging* staging) {
  {
    const std::scoped_lock lock(mutex_);
    free_.push_back(staging);
  }
  returned_.notify_one();
}

Result<void> Uploader::open_staging(Staging& staging) {
  const VolkDeviceTable& vk = gpu_.vk();
  const VkCommandPoolCreateInfo pool = {.sType = VK_STRUCTURE_TYPE_COMMAND_POOL_CREATE_INFO,
                                        .queueFamilyIndex = gpu_.upload_queue_family()};
  const VkFenceCreateInfo fence = {.sType = VK_STRUCTURE_TYPE_FENCE_CREATE_INFO};
  VkResult made = vk.vkCreateCommandPool(gpu_.device(), &pool, nullptr, &staging.pool);
  if (made == VK_SUCCESS) made = vk.vkCreateFence(gpu_.device(), &fence, nullptr, &staging.fence);
  if (made == VK_SUCCESS) {
    const VkCommandBufferAllocateInfo info = {.sType = VK_STRUCTURE_TYPE_COMMAND_BUFFER_ALLOCATE_INFO,
                                              .commandPool = staging.pool,
                                              .level = VK_COMMAND_BUFFER_LEVEL_PRIMARY,
                                              .commandBufferCount = 1};
    made = vk.vkAllocateCommandBuffers(gpu_.device(), &info, &staging.commands);
  }
  if (made != VK_SUCCESS) return fail_vulkan(made, "preparing an upload");
  return {};
}

void Uploader::close_staging(Staging& staging) {
  gpu_.vk().vkDestroyFence(gpu_.device(), staging.fence, nullptr);
  gpu_.vk().vkDestroyCommandPool(gpu_.device(), staging.pool, nullptr);
}

Result<void> Uploader::wait(Staging& staging) {
  if (!staging.in_flight) return {};
  if (auto waited = gpu_.wait(staging.fence, "waiting for an upload"); !waited) return waited;
  staging.in_flight = false;
  staging.kept.reset();
  return {};
}

Result<void> Uploader::finish() {
  Result<void> result;
  for (auto& staging : staging_) {
    if (auto waited = wait(*staging); !waited) result = waited;
    close_staging(*staging);
  }
  if (!staging_.empty()) {
    staging_.clear();
    pool_.trim();
  }
  free_.clear();
  return result;
}

}  // namespace hearth::vulkan
