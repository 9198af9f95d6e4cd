#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>

namespace hearth {

/// Bytes of address space that this process may still take, where it is limited (ulimit -v, ulimit -d); there memory
/// that is only reserved counts, too.
std::optional<uint64_t> free_address_space_bytes();

/// Bytes that this process may still allocate without swapping: MemAvailable of /proc/meminfo, or less where a control
/// group (a container) or its address space has a lower limit. 0 where nothing is known. `root` replaces "/" in tests.
uint64_t free_memory_bytes(const std::filesystem::path& root = "/");

}  // namespace hearth
