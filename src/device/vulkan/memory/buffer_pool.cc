#include "device/vulkan/memory/buffer_pool.h"

#include <fmt/format.h>

#include <algorithm>
#include <numeric>
#include <utility>

namespace hearth::vulkan {
namespace {

constexpr uint64_t kMiB = uint64_t{1} << 20;

uint64_t total_bytes(std::span<const BufferPool::Size> sizes) {
  return std::accumulate(sizes.begin(), sizes.end(), uint64_t{0},
                         [](uint64_t sum, const BufferPool::Size& size) { return sum + size.bytes * size.count; });
}

uint64_t device_bytes(const GpuProperties& properties) {
  uint64_t largest = 0;
  for (const MemoryHeap& heap : properties.heaps) {
    if (heap.device_local) largest = std::max(largest, heap.bytes);
  }
  return largest;
}

}  // namespace

std::vector<BufferPool::Size> BufferPool::sizes_for(uint64_t device_bytes) {
  std::vector<Size> sizes = {{1 * kMiB, 32}, {16 * kMiB, 16}, {256 * kMiB, 8}};
  const uint64_t most = device_bytes / 8;
  while (sizes[2].bytes > 2 * sizes[1].bytes && total_bytes(sizes) > most) sizes[2].bytes /= 2;
  while (total_bytes(sizes) > most && sizes[0].count > 4) {
    for (Size& size : sizes) size.count = std::max(1U, size.count / 2);
  }
  return sizes;
}

BufferPool::BufferPool(const Gpu& gpu) : BufferPool(gpu, sizes_for(device_bytes(gpu.properties()))) {}

BufferPool::BufferPool(const Gpu& gpu, std::span<const Size> sizes) : gpu_(gpu) {
  for (const Size& size : sizes) {
    sizes_.push_back({.statistics = {.buffer_bytes = size.bytes, .capacity = size.count}, .buffers = {}, .free = {}});
  }
}

Result<BufferPool::Lease> BufferPool::take(uint64_t bytes) {
  const std::scoped_lock lock(mutex_);
  for (size_t i = 0; i < sizes_.size(); ++i) {
    OfOneSize& size = sizes_[i];
    if (size.statistics.buffer_bytes < bytes || size.statistics.in_use == size.statistics.capacity) continue;
    auto buffer = take_of(size);
    if (!buffer) return pass_on(buffer);
    return Lease(this, i, *buffer);
  }
  return fail(ErrorCode::out_of_memory,
              fmt::format("no transient buffer of {} bytes is free on {}", bytes, gpu_.properties().name));
}

Result<Buffer*> BufferPool::take_of(OfOneSize& size) {
  if (size.free.empty()) {
    auto made = Buffer::create(gpu_, size.statistics.buffer_bytes, Placement::host_cached, MemoryOwner::staging);
    if (!made) return pass_on(made);
    size.buffers.push_back(std::make_unique<Buffer>(std::move(*made)));
    size.free.push_back(size.buffers.back().get());
  }
  Buffer* buffer = size.free.back();
  size.free.pop_back();
  BufferPoolStatistics& statistics = size.statistics;
  statistics.allocated = static_cast<uint32_t>(size.buffers.size());
  ++statistics.in_use;
  ++statistics.taken;
  statistics.most_in_use = std::max(statistics.most_in_use, statistics.in_use);
  return buffer;
}

void BufferPool::give_back(size_t size, Buffer* buffer) {
  const std::scoped_lock lock(mutex_);
  sizes_[size].free.push_back(buffer);
  --sizes_[size].statistics.in_use;
}

void BufferPool::trim() {
  const std::scoped_lock lock(mutex_);
  for (OfOneSize& size : sizes_) {
    for (const Buffer* unused : size.free) {
      std::erase_if(size.buffers, [&](const auto& buffer) { return buffer.get() == unused; });
    }
    size.free.clear();
    size.statistics.allocated = static_cast<uint32_t>(size.buffers.size());
  }
}

std::vector<BufferPoolStatistics> BufferPool::statistics() const {
  const std::scoped_lock lock(mutex_);
  std::vector<BufferPoolStatistics> all;
  for (const OfOneSize& size : sizes_) all.push_back(size.statistics);
  return all;
}

BufferPool::Lease::~Lease() {
  if (buffer_ != nullptr) pool_->give_back(size_, buffer_);
}

BufferPool::Lease::Lease(Lease&& other) noexcept { *this = std::move(other); }

BufferPool::Lease& BufferPool::Lease::operator=(Lease&& other) noexcept {
  std::swap(pool_, other.pool_);
  std::swap(size_, other.size_);
  std::swap(buffer_, other.buffer_);
  return *this;
}

}  // namespace hearth::vulkan
