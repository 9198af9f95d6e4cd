#pragma once

#include <cstdint>
#include <filesystem>

namespace hearth {

/// Bytes that this process may still allocate without swapping: MemAvailable of /proc/meminfo, or less where a control
/// group (a container) has a lower limit. 0 where neither can be read. `root` replaces "/" in tests.
uint64_t free_memory_bytes(const std::filesystem::path& root = "/");

}  // namespace hearth
