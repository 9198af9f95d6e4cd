#include "base/reading/read_buffers.h"

#include <fmt/format.h>
#include <sys/mman.h>

#include <utility>

namespace hearth {

Result<ReadBuffers> ReadBuffers::create(uint32_t count, uint64_t buffer_bytes) {
  buffer_bytes = (buffer_bytes + kAlignment - 1) / kAlignment * kAlignment;
  const uint64_t bytes = count * buffer_bytes;
  void* memory = ::mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (memory == MAP_FAILED) {
    return fail(ErrorCode::out_of_memory, fmt::format("no memory for {} bytes of buffers for reading files", bytes));
  }
  // The system pins each page of a direct read: large ones are fewer.
  (void)::madvise(memory, bytes, MADV_HUGEPAGE);
  return ReadBuffers(static_cast<std::byte*>(memory), count, buffer_bytes);
}

ReadBuffers::ReadBuffers(std::byte* memory, uint32_t count, uint64_t buffer_bytes)
    : memory_(memory), bytes_(count * buffer_bytes), buffer_bytes_(buffer_bytes) {
  for (uint32_t i = count; i > 0; --i) free_.push_back(memory + (i - 1) * buffer_bytes);
}

ReadBuffers::ReadBuffers(ReadBuffers&& other) noexcept
    : memory_(std::exchange(other.memory_, nullptr)),
      bytes_(other.bytes_),
      buffer_bytes_(other.buffer_bytes_),
      free_(std::move(other.free_)) {}

ReadBuffers::~ReadBuffers() {
  if (memory_ != nullptr) ::munmap(memory_, bytes_);
}

std::byte* ReadBuffers::take() {
  std::byte* buffer = free_.back();
  free_.pop_back();
  return buffer;
}

}  // namespace hearth
