#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

namespace hearth {

/// Memory that some of the processors are nearer to.
struct NumaNode {
  uint32_t number = 0;
  std::string cpus;  ///< "0-15,32-47"; empty for a node of memory alone
  std::optional<uint64_t> memory_bytes, free_bytes;
};

/// By number; empty where the system does not tell. `root` replaces "/" in tests.
std::vector<NumaNode> numa_nodes(const std::filesystem::path& root = "/");

}  // namespace hearth
