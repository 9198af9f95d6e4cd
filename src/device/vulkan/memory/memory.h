#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "device/device.h"
#include "device/vulkan/gpu/gpu.h"

namespace hearth::vulkan {

/// Where a buffer should lie.
enum class Placement : uint8_t {
  device,  ///< device-local; mapped when that costs nothing (GpuProperties::one_memory)
  /// Device-local and never mapped: an H200's driver lets the host see no more than 70 of 140 GB (2026-11).
  device_only,
  device_mapped,  ///< mapped and as near to the device as possible: what the host writes and the device reads
  host_cached,    ///< what the device writes and the host reads
};

/// The memory of Placement::device as it is now. A CPU that passes for a GPU lives in the host's, as an integrated GPU
/// does: then what the host has left counts too.
DeviceMemory device_memory(const Gpu& gpu);

/// A buffer with memory of its own, an address for shaders, and a pointer where it is mapped.
class Buffer {
 public:
  Buffer() = default;
  /// Errors: out_of_memory (by the budget before the driver is asked, or by the driver).
  static Result<Buffer> create(const Gpu& gpu, uint64_t bytes, Placement placement, MemoryOwner owner);
  ~Buffer();
  Buffer(Buffer&& other) noexcept;
  Buffer& operator=(Buffer&& other) noexcept;

  VkBuffer handle() const { return buffer_; }
  VkDeviceAddress address() const { return address_; }
  std::byte* mapped() const { return mapped_; }  ///< null where the host cannot see it
  uint64_t bytes() const { return bytes_; }
  explicit operator bool() const { return buffer_ != VK_NULL_HANDLE; }

 private:
  const Gpu* gpu_ = nullptr;
  VkBuffer buffer_ = VK_NULL_HANDLE;
  VkDeviceMemory memory_ = VK_NULL_HANDLE;
  VkDeviceAddress address_ = 0;
  std::byte* mapped_ = nullptr;
  uint64_t bytes_ = 0;
  MemoryLedger::Entry entry_;
};

/// A part of an arena.
struct Slice {
  const Buffer* buffer = nullptr;
  uint64_t offset = 0;
  uint64_t bytes = 0;

  VkDeviceAddress address() const { return buffer->address() + offset; }
  std::byte* mapped() const { return buffer->mapped() == nullptr ? nullptr : buffer->mapped() + offset; }
};

/// Few buffers for many slices that live as long as the arena: sizes are collected first, so that the last buffer is as
/// small as it can be.
class Arena {
 public:
  static constexpr uint64_t kBufferBytes = uint64_t{2} << 30;
  static constexpr uint64_t kAlignment = 256;

  /// Returns the number of the slice. `bytes` is at most largest_slice().
  size_t reserve(uint64_t bytes);
  uint64_t reserved_bytes() const { return reserved_bytes_; }
  uint64_t uncommitted_bytes() const;

  /// Allocates what was reserved since the last call.
  Result<void> commit(const Gpu& gpu, Placement placement, MemoryOwner owner);
  const Slice& slice(size_t number) const { return slices_[number]; }

  static uint64_t largest_slice(const GpuProperties& gpu);

 private:
  std::vector<Slice> slices_;  // the last ones without a buffer until commit
  size_t committed_ = 0;
  uint64_t reserved_bytes_ = 0;
  std::vector<std::unique_ptr<Buffer>> buffers_;
};

}  // namespace hearth::vulkan
