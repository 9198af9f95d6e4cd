#pragma once

#include <condition_variable>
#include <cstddef>
#include <memory>
#include <mutex>
#include <span>
#include <vector>

#include "base/result.h"
#include "device/vulkan/memory/buffer_pool.h"

namespace hearth::vulkan {

/// Fills device memory from the host: straight into it where it is mapped, through a ring of the pool's buffers
/// elsewhere, on the queue for uploads. Thread-safe, and outlived by the pool; several threads keep several staging
/// buffers in flight.
class Uploader {
 public:
  static constexpr uint64_t kStagingBytes = uint64_t{16} << 20;
  static constexpr size_t kStagingBuffers = 4;

  Uploader(Gpu& gpu, BufferPool& pool) : gpu_(gpu), pool_(pool) {}
  ~Uploader();
  Uploader(const Uploader&) = delete;
  Uploader& operator=(const Uploader&) = delete;

  /// Copies `bytes` to [offset, offset + bytes.size()) of the slice. The device sees them when all copies of `kept` are
  /// gone but the caller's, and after `finish`.
  Result<void> write(const Slice& slice, uint64_t offset, std::span<const std::byte> bytes,
                     const std::shared_ptr<void>& kept = nullptr);

  /// Waits for the copies in flight and frees the staging buffers: kept, they would take the place of weights. Not at
  /// the same time as `write`.
  Result<void> finish();

 private:
  struct Staging {
    BufferPool::Lease lease;
    VkCommandPool pool = VK_NULL_HANDLE;
    VkCommandBuffer commands = VK_NULL_HANDLE;
    VkFence fence = VK_NULL_HANDLE;
    bool in_flight = false;
    std::shared_ptr<void> kept;  ///< while the copy is in flight
  };

  Result<void> write_piece(const Slice& slice, uint64_t offset, std::span<const std::byte> bytes,
                           const std::shared_ptr<void>& kept);
  Result<void> copy_through(Staging& staging, const Slice& slice, uint64_t offset, std::span<const std::byte> bytes);
  Result<void> open_staging(Staging& staging);
  void close_staging(Staging& staging);
  Result<void> wait(Staging& staging);
  Result<Staging*> take();
  void give_back(Staging* staging);

  Gpu& gpu_;
  BufferPool& pool_;
  std::mutex mutex_;
  std::condition_variable returned_;
  std::vector<std::unique_ptr<Staging>> staging_;
  std::vector<Staging*> free_;
};

}  // namespace hearth::vulkan
