#pragma once

#include <cstdint>
#include <mutex>
#include <span>
#include <vector>

#include "device/device.h"
#include "device/vulkan/memory/memory.h"

namespace hearth::vulkan {

/// Buffers that host and device see, for staging and other short use, in a few sizes and a fixed number of each. A
/// buffer is allocated when it is first needed and kept for the next user; `trim` frees what nobody uses. Thread-safe;
/// outlives its leases.
class BufferPool {
 public:
  struct Size {
    uint64_t bytes = 0;
    uint32_t count = 0;
  };

  /// 32 of 1 MiB, 16 of 16 MiB and 8 of 256 MiB where an eighth of the device's memory holds them; smaller large ones,
  /// and then fewer of all, elsewhere.
  static std::vector<Size> sizes_for(uint64_t device_bytes);

  /// Of the sizes that suit the device.
  explicit BufferPool(const Gpu& gpu);
  /// `sizes` ascend.
  BufferPool(const Gpu& gpu, std::span<const Size> sizes);

  /// A buffer that is somebody's until the lease ends.
  class Lease {
   public:
    Lease() = default;
    ~Lease();
    Lease(Lease&& other) noexcept;
    Lease& operator=(Lease&& other) noexcept;

    const Buffer& buffer() const { return *buffer_; }
    explicit operator bool() const { return buffer_ != nullptr; }

   private:
    friend class BufferPool;
    Lease(BufferPool* pool, size_t size, Buffer* buffer) : pool_(pool), size_(size), buffer_(buffer) {}

    BufferPool* pool_ = nullptr;
    size_t size_ = 0;
    Buffer* buffer_ = nullptr;
  };

  /// A free buffer of at least `bytes`, of the smallest size that has one. Errors: out_of_memory (all are in use, none
  /// is as large, or the device has no memory).
  Result<Lease> take(uint64_t bytes);

  /// Frees the memory of all buffers that are not in use.
  void trim();

  std::vector<BufferPoolStatistics> statistics() const;

 private:
  struct OfOneSize {
    BufferPoolStatistics statistics;
    std::vector<std::unique_ptr<Buffer>> buffers;  // free or not
    std::vector<Buffer*> free;
  };

  Result<Buffer*> take_of(OfOneSize& size);
  void give_back(size_t size, Buffer* buffer);

  const Gpu& gpu_;
  mutable std::mutex mutex_;
  std::vector<OfOneSize> sizes_;
};

}  // namespace hearth::vulkan
