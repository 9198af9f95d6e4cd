#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "base/result.h"

namespace hearth {

/// A fixed number of buffers of one size in memory of its own, aligned as reads past the page cache want it. Pages are
/// taken from the system when they are first written. For one thread at a time.
class ReadBuffers {
 public:
  /// What offsets, sizes and addresses of direct reads are multiples of. Every disk and filesystem that allows them is
  /// content with 4096, but for those with larger blocks, which answer EINVAL.
  static constexpr uint64_t kAlignment = 4096;

  /// `buffer_bytes` is rounded up to kAlignment. Errors: out_of_memory.
  static Result<ReadBuffers> create(uint32_t count, uint64_t buffer_bytes);

  ReadBuffers(ReadBuffers&& other) noexcept;
  ReadBuffers& operator=(ReadBuffers&&) = delete;
  ~ReadBuffers();

  uint64_t buffer_bytes() const { return buffer_bytes_; }
  bool has_free() const { return !free_.empty(); }

  /// The buffer that was given back last, whose bytes are the likeliest to be in a core's cache. has_free() holds.
  std::byte* take();
  void give_back(std::byte* buffer) { free_.push_back(buffer); }

 private:
  ReadBuffers(std::byte* memory, uint32_t count, uint64_t buffer_bytes);

  std::byte* memory_;
  uint64_t bytes_;
  uint64_t buffer_bytes_;
  std::vector<std::byte*> free_;
};

}  // namespace hearth
