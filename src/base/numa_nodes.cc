#include "base/numa_nodes.h"

#include <algorithm>
#include <fstream>

#include "base/attribute_file.h"

namespace hearth {
namespace {

/// Of a line "Node 0 MemTotal:       65843244 kB".
std::optional<uint64_t> bytes_of(const std::filesystem::path& path, const std::string& wanted) {
  std::ifstream file(path);
  std::string node, number, key;
  for (uint64_t kibibytes = 0; file >> node >> number >> key;) {
    if (key == wanted) return file >> kibibytes ? std::optional(kibibytes * 1024) : std::nullopt;
    file.ignore(1 << 16, '\n');
  }
  return std::nullopt;
}

}  // namespace

std::vector<NumaNode> numa_nodes(const std::filesystem::path& root) {
  std::vector<NumaNode> nodes;
  for (const auto& folder : folder_entries(root / "sys/devices/system/node")) {
    const std::string name = folder.filename();
    const auto number = name.starts_with("node") ? whole_number(name.substr(4)) : std::nullopt;
    if (!number) continue;
    nodes.push_back({.number = static_cast<uint32_t>(*number),
                     .cpus = read_attribute(folder / "cpulist").value_or(""),
                     .memory_bytes = bytes_of(folder / "meminfo", "MemTotal:"),
                     .free_bytes = bytes_of(folder / "meminfo", "MemFree:")});
  }
  std::ranges::sort(nodes, {}, &NumaNode::number);
  return nodes;
}

}  // namespace hearth
