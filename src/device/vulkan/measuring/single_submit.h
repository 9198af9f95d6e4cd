#pragma once

#include <string>

#include "device/vulkan/gpu/gpu.h"
#include "device/vulkan/memory/memory.h"

namespace hearth::vulkan {

/// One command buffer that runs once, for what is measured or learned. Not thread-safe.
class SingleSubmit {
 public:
  /// `what` names the work in errors.
  static Result<SingleSubmit> begin(Gpu& gpu, std::string what);
  ~SingleSubmit();
  SingleSubmit(SingleSubmit&& other) noexcept;
  SingleSubmit& operator=(SingleSubmit&&) = delete;

  VkCommandBuffer buffer() const { return buffer_; }

  /// Fills a buffer before anything that is recorded after.
  void fill(const Buffer& target, uint32_t word);

  /// Submits and waits.
  Result<void> run();

 private:
  SingleSubmit(Gpu& gpu, std::string what) : gpu_(&gpu), what_(std::move(what)) {}

  Gpu* gpu_;
  std::string what_;
  VkCommandPool pool_ = VK_NULL_HANDLE;
  VkFence fence_ = VK_NULL_HANDLE;
  VkCommandBuffer buffer_ = VK_NULL_HANDLE;
};

}  // namespace hearth::vulkan
