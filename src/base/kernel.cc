#include "base/kernel.h"

#include <charconv>
#include <fstream>

#include "base/attribute_file.h"

namespace hearth {

std::optional<std::string> kernel_release(const std::filesystem::path& root) {
  return read_attribute(root / "proc/sys/kernel/osrelease");
}

std::optional<KernelVersion> kernel_version(std::string_view release) {
  KernelVersion version;
  const char* at = release.data();
  const char* const end = at + release.size();
  uint32_t* const numbers[] = {&version.major, &version.minor, &version.patch};
  for (size_t i = 0; i < 3; ++i) {
    const bool is_there = i == 0 || (at != end && *at == '.');
    const auto [rest, error] = is_there ? std::from_chars(at + (i == 0 ? 0 : 1), end, *numbers[i])
                                        : std::from_chars_result{at, std::errc::invalid_argument};
    if (error == std::errc()) {
      at = rest;
    } else if (i < 2) {
      return std::nullopt;
    }
  }
  return version;
}

bool has_kernel_argument(const std::filesystem::path& root, std::string_view word) {
  // Longer than a line of text is: not read_attribute.
  std::ifstream file(root / "proc/cmdline");
  for (std::string argument; file >> argument;) {
    if (argument == word) return true;
  }
  return false;
}

}  // namespace hearth
