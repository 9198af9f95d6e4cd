#pragma once

#include <vector>

#include "device/vulkan/gpu/gpu.h"

namespace hearth::vulkan {

/// A pool of timestamps for one submit.
class Timestamps {
 public:
  /// Errors: unsupported (the queue has no timestamps), out_of_memory.
  static Result<Timestamps> create(const Gpu& gpu, uint32_t count);
  ~Timestamps();
  Timestamps(Timestamps&& other) noexcept;
  Timestamps& operator=(Timestamps&& other) noexcept;

  /// Records that all are free again; before any of them is written.
  void reset(VkCommandBuffer commands) const;
  VkQueryPool pool() const { return pool_; }

  /// Seconds from each timestamp to the next, once the submit has ended; all must have been written.
  Result<std::vector<double>> intervals() const;

 private:
  Timestamps(const Gpu& gpu, uint32_t count) : gpu_(&gpu), count_(count) {}

  const Gpu* gpu_ = nullptr;
  uint32_t count_ = 0;
  VkQueryPool pool_ = VK_NULL_HANDLE;
};

}  // namespace hearth::vulkan
