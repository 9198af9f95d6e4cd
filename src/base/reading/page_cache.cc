#include "base/reading/page_cache.h"

#include <sys/mman.h>
#include <sys/uio.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <vector>

namespace hearth {

bool seems_cached(int descriptor, uint64_t offset, uint64_t bytes) {
  const auto page = static_cast<uint64_t>(::sysconf(_SC_PAGESIZE));
  const uint64_t begin = offset / page * page;
  const uint64_t size = offset + bytes - begin;
  // Nothing touches the mapping: mincore looks the pages up in the file's cache.
  void* mapping = ::mmap(nullptr, size, PROT_READ, MAP_SHARED, descriptor, static_cast<off_t>(begin));
  if (mapping == MAP_FAILED) return false;
  std::vector<unsigned char> resident((size + page - 1) / page);
  const bool known = ::mincore(mapping, size, resident.data()) == 0;
  ::munmap(mapping, size);
  return known && std::ranges::all_of(resident, [](unsigned char flags) { return (flags & 1U) != 0; });
}

std::optional<uint64_t> copy_cached(int descriptor, uint64_t offset, std::span<std::byte> out) {
  uint64_t copied = 0;
  while (copied < out.size()) {
    const iovec part = {out.data() + copied, out.size() - copied};
    const ssize_t got = ::preadv2(descriptor, &part, 1, static_cast<off_t>(offset + copied), RWF_NOWAIT);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0 && errno != EAGAIN) return std::nullopt;
    if (got <= 0) break;
    copied += static_cast<uint64_t>(got);
  }
  return copied;
}

}  // namespace hearth
