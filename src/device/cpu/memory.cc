#include "device/cpu/memory.h"

#include <fmt/format.h>
#include <sys/mman.h>

#include <algorithm>
#include <cstdint>

#include "base/free_memory.h"

namespace hearth::cpu {
namespace {

constexpr size_t kHugePage = size_t{2} << 20;
constexpr size_t kArenaBytes = size_t{1} << 30;          // address space, not memory
constexpr size_t kLimitedArenaBytes = size_t{32} << 20;  // where address space is what there is little of
constexpr size_t kAlignment = 64;

size_t round_up(size_t value, size_t multiple) { return (value + multiple - 1) / multiple * multiple; }

}  // namespace

Mapping::~Mapping() {
  if (mapped_ != nullptr) munmap(mapped_, mapped_bytes_);
}

Mapping& Mapping::operator=(Mapping&& other) noexcept {
  std::swap(mapped_, other.mapped_);
  std::swap(mapped_bytes_, other.mapped_bytes_);
  std::swap(data_, other.data_);
  std::swap(size_, other.size_);
  return *this;
}

Result<Mapping> Mapping::reserve(size_t bytes, const std::string& purpose) {
  Mapping mapping;
  mapping.size_ = bytes;
  mapping.mapped_bytes_ = round_up(bytes, kHugePage) + kHugePage;
  void* mapped =
      mmap(nullptr, mapping.mapped_bytes_, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (mapped == MAP_FAILED) {
    return fail(ErrorCode::out_of_memory, fmt::format("the system refused {} MiB for {}", bytes >> 20, purpose),
                "use a smaller model or a shorter context");
  }
  mapping.mapped_ = mapped;
  mapping.data_ = reinterpret_cast<std::byte*>(round_up(reinterpret_cast<uintptr_t>(mapped), kHugePage));
  madvise(mapping.data_, round_up(bytes, kHugePage), MADV_HUGEPAGE);  // without it everything works, slower
  return mapping;
}

Result<std::byte*> Arena::allocate(size_t bytes, const std::string& purpose) {
  const size_t rounded = round_up(bytes, kAlignment);
  if (mappings_.empty() || used_ + rounded > mappings_.back().size()) {
    const size_t usual_bytes = free_address_space_bytes() ? kLimitedArenaBytes : kArenaBytes;
    auto mapping = Mapping::reserve(std::max(rounded, usual_bytes), purpose);
    if (!mapping) mapping = Mapping::reserve(rounded, purpose);
    if (!mapping) return pass_on(mapping);
    mappings_.push_back(std::move(*mapping));
    used_ = 0;
  }
  std::byte* const memory = mappings_.back().data() + used_;
  used_ += rounded;
  return memory;
}

}  // namespace hearth::cpu
