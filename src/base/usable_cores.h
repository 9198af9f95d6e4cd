#pragma once

#include <cstdint>
#include <filesystem>

namespace hearth {

/// How many cores this process may keep busy: those it may run on (affinity), or fewer where a control group (a
/// container, a service) has a quota of processor time. A part of a core is left for threads that do not compute; at
/// least 1. `root` replaces "/" in tests.
uint32_t usable_cores(const std::filesystem::path& root = "/");

}  // namespace hearth
