#include "base/free_memory.h"

#include <sys/resource.h>

#include <algorithm>
#include <fstream>
#include <optional>
#include <string>
#include <utility>

#include "base/control_group.h"

namespace hearth {
namespace {

namespace fs = std::filesystem;

/// The number after `key` in a file of lines "key value".
std::optional<uint64_t> value_of(const fs::path& path, const std::string& key) {
  std::ifstream file(path);
  std::string name;
  uint64_t value = 0;
  while (file >> name) {
    if (name == key) {
      if (file >> value) return value;
      return std::nullopt;
    }
    file.ignore(1 << 16, '\n');
  }
  return std::nullopt;
}

std::optional<uint64_t> number_in(const fs::path& path) {
  std::ifstream file(path);
  uint64_t value = 0;
  if (file >> value) return value;  // fails for "max", which is no limit
  return std::nullopt;
}

std::optional<uint64_t> free_in_group(const fs::path& limit_file, const fs::path& usage_file, const fs::path& stat_file,
                                      const std::string& cache_key) {
  const auto limit = number_in(limit_file);
  const auto usage = number_in(usage_file);
  if (!limit || !usage) return std::nullopt;
  // The page cache counts as usage, but the kernel gives it back when it is wanted.
  const uint64_t used = *usage - std::min(*usage, value_of(stat_file, cache_key).value_or(0));
  return *limit - std::min(*limit, used);
}

}  // namespace

std::optional<uint64_t> free_address_space_bytes() {
  std::optional<uint64_t> least;
  for (const auto& [kind, used_key] : {std::pair(RLIMIT_AS, "VmSize:"), {RLIMIT_DATA, "VmData:"}}) {
    rlimit limit{};
    if (getrlimit(kind, &limit) != 0 || limit.rlim_cur == RLIM_INFINITY) continue;
    const uint64_t used = value_of("/proc/self/status", used_key).value_or(0) * 1024;
    const uint64_t left = limit.rlim_cur - std::min<uint64_t>(limit.rlim_cur, used);
    least = std::min(least.value_or(left), left);
  }
  return least;
}

uint64_t free_memory_bytes(const fs::path& root) {
  constexpr uint64_t kNoLimit = UINT64_MAX;
  const auto available_kib = value_of(root / "proc/meminfo", "MemAvailable:");
  uint64_t bytes = available_kib ? *available_kib * 1024 : kNoLimit;

  const auto take = [&](std::optional<uint64_t> free_bytes) { bytes = std::min(bytes, free_bytes.value_or(kNoLimit)); };
  const ControlGroups groups = control_groups("memory", root);
  for (const fs::path& group : groups.version_2) {
    take(free_in_group(group / "memory.max", group / "memory.current", group / "memory.stat", "inactive_file"));
  }
  for (const fs::path& group : groups.version_1) {
    take(free_in_group(group / "memory.limit_in_bytes", group / "memory.usage_in_bytes", group / "memory.stat",
                       "total_inactive_file"));
  }
  take(free_address_space_bytes());
  return bytes == kNoLimit ? 0 : std::max<uint64_t>(bytes, 1);
}

}  // namespace hearth
