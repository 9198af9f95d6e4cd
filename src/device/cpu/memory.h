#pragma once

#include <cstddef>
#include <string>
#include <utility>
#include <vector>

#include "base/result.h"

namespace hearth::cpu {

/// Zeroed memory from the system, aligned to a huge page and backed by huge pages where the system agrees. Pages that
/// nobody touched take no memory. Movable; freed with its owner.
class Mapping {
 public:
  Mapping() = default;
  ~Mapping();
  Mapping(Mapping&& other) noexcept { *this = std::move(other); }
  Mapping& operator=(Mapping&& other) noexcept;

  /// Errors: out_of_memory, naming `purpose`.
  static Result<Mapping> reserve(size_t bytes, const std::string& purpose);

  std::byte* data() const { return data_; }
  size_t size() const { return size_; }

 private:
  void* mapped_ = nullptr;
  size_t mapped_bytes_ = 0;
  std::byte* data_ = nullptr;
  size_t size_ = 0;
};

/// Hands out memory that is only freed all together. What is asked for in sequence lies in sequence, so that the end of
/// one matrix can prefetch the beginning of the next. Not thread-safe.
class Arena {
 public:
  /// 64-byte aligned, zeroed. Errors: out_of_memory.
  Result<std::byte*> allocate(size_t bytes, const std::string& purpose);

 private:
  std::vector<Mapping> mappings_;
  size_t used_ = 0;  ///< of the last mapping
};

}  // namespace hearth::cpu
