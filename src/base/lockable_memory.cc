#include "base/lockable_memory.h"

#include <fstream>
#include <string>

#include "base/attribute_file.h"

namespace hearth {
namespace {

/// Whether /proc/self/status names a capability (its bit in CapEff).
bool has_capability(const std::filesystem::path& root, unsigned bit) {
  std::ifstream file(root / "proc/self/status");
  for (std::string key, value; file >> key;) {
    if (key == "CapEff:" && file >> value) return (whole_number("0x" + value).value_or(0) >> bit & 1) != 0;
  }
  return false;
}

}  // namespace

std::optional<uint64_t> lockable_bytes(const std::filesystem::path& root) {
  constexpr unsigned kIpcLock = 14;  // linux/capability.h
  if (has_capability(root, kIpcLock)) return UINT64_MAX;
  std::ifstream file(root / "proc/self/limits");
  for (std::string line; std::getline(file, line);) {
    constexpr std::string_view kName = "Max locked memory";
    if (!line.starts_with(kName)) continue;
    const size_t begin = line.find_first_not_of(' ', kName.size());
    if (begin == line.npos) return std::nullopt;
    const std::string soft_limit = line.substr(begin, line.find(' ', begin) - begin);
    if (soft_limit == "unlimited") return UINT64_MAX;
    return whole_number(soft_limit);
  }
  return std::nullopt;
}

}  // namespace hearth
