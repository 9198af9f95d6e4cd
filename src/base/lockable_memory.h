#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>

namespace hearth {

/// Bytes that this process may lock in memory (RLIMIT_MEMLOCK): UINT64_MAX where there is no limit or it does not count
/// for the process (CAP_IPC_LOCK); nothing where the system does not say. `root` replaces "/" in tests.
std::optional<uint64_t> lockable_bytes(const std::filesystem::path& root = "/");

}  // namespace hearth
