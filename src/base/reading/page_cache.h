#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>

namespace hearth {

/// Whether the system says that all pages of a file's range are in its page cache. Of files that this process may not
/// write it says so always.
bool seems_cached(int descriptor, uint64_t offset, uint64_t bytes);

/// Copies what is in the page cache from `offset` on, without waiting for a disk: how many bytes, up to the first that
/// is not there. Nothing where the filesystem cannot tell (FUSE, older tmpfs).
std::optional<uint64_t> copy_cached(int descriptor, uint64_t offset, std::span<std::byte> out);

}  // namespace hearth
