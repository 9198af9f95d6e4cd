#pragma once

#include <compare>
#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>

namespace hearth {

/// "6.18.4-200.fc43.x86_64" is 6.18.4.
struct KernelVersion {
  uint32_t major = 0, minor = 0, patch = 0;
  auto operator<=>(const KernelVersion&) const = default;
};

/// What the kernel calls itself (/proc/sys/kernel/osrelease). `root` replaces "/" in tests.
std::optional<std::string> kernel_release(const std::filesystem::path& root = "/");

/// The numbers in front of a release's name; a missing patch is 0. Nothing where it begins otherwise.
std::optional<KernelVersion> kernel_version(std::string_view release);

/// Whether the kernel was booted with this word on its command line ("amd_iommu=off").
bool has_kernel_argument(const std::filesystem::path& root, std::string_view word);

}  // namespace hearth
