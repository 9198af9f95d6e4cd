#pragma once

#include <filesystem>
#include <string_view>
#include <vector>

namespace hearth {

/// Folders of the control groups that this process is in for `controller` ("memory", "cpu"), its own one first and the
/// hierarchy's root last; those of version 2 (one hierarchy for all) and those of version 1 (one for each controller).
/// Limits of every one of them hold. In a container the own group's path may be one of the host, which is not there:
/// then the root is the container's. `root` replaces "/" in tests.
struct ControlGroups {
  std::vector<std::filesystem::path> version_2;
  std::vector<std::filesystem::path> version_1;
};
ControlGroups control_groups(std::string_view controller, const std::filesystem::path& root = "/");

}  // namespace hearth
