#include "base/control_group.h"

#include <algorithm>
#include <fstream>
#include <string>

namespace hearth {
namespace {

namespace fs = std::filesystem;

/// Whether `list`, joined by commas, has `name`.
bool has_name(std::string_view list, std::string_view name) {
  while (!list.empty()) {
    const size_t end = std::min(list.find(','), list.size());
    if (list.substr(0, end) == name) return true;
    list.remove_prefix(std::min(end + 1, list.size()));
  }
  return false;
}

/// `group` ("/system.slice/x.service") below `mount`, and all above it.
std::vector<fs::path> up_to_root(const fs::path& mount, const fs::path& group) {
  std::vector<fs::path> folders;
  for (fs::path at = group.relative_path(); !at.empty(); at = at.parent_path()) {
    std::error_code ignored;
    if (fs::is_directory(mount / at, ignored)) folders.push_back(mount / at);
  }
  folders.push_back(mount);
  return folders;
}

}  // namespace

ControlGroups control_groups(std::string_view controller, const fs::path& root) {
  const fs::path mounts = root / "sys/fs/cgroup";
  ControlGroups groups{.version_2 = {mounts}, .version_1 = {mounts / controller}};
  std::ifstream file(root / "proc/self/cgroup");
  // Lines "number:controllers:path"; version 2 has no controllers.
  for (std::string line; std::getline(file, line);) {
    const size_t first = line.find(':');
    const size_t second = line.find(':', first + 1);
    if (second == std::string::npos) continue;
    const std::string controllers = line.substr(first + 1, second - first - 1);
    const std::string path = line.substr(second + 1);
    if (controllers.empty()) groups.version_2 = up_to_root(mounts, path);
    if (has_name(controllers, controller)) {
      // Mounted under its own name, or under all that share the hierarchy ("cpu,cpuacct").
      std::error_code ignored;
      const fs::path own = mounts / controller;
      groups.version_1 = up_to_root(fs::is_directory(own, ignored) ? own : mounts / controllers, path);
    }
  }
  return groups;
}

}  // namespace hearth
