#include "device/npu/npu_detection.h"

#include <unistd.h>

#include <algorithm>
#include <array>
#include <fstream>

namespace hearth {
namespace {

namespace fs = std::filesystem;

constexpr const char* kAmd = "0x1022";
constexpr const char* kSignalProcessor = "0x118000";  // the PCI class that NPUs have
constexpr const char* kDriver = "amdxdna";            // in Linux since 6.14

std::string first_line(const fs::path& path) {
  std::ifstream file(path);
  std::string line;
  std::getline(file, line);
  return line;
}

std::vector<fs::path> entries(const fs::path& folder) {
  std::error_code error;
  std::vector<fs::path> found;
  for (auto it = fs::directory_iterator(folder, error); !error && it != fs::directory_iterator(); it.increment(error)) {
    found.push_back(it->path());
  }
  std::ranges::sort(found);
  return found;
}

std::string driver_of(const fs::path& device) {
  std::error_code error;
  return fs::read_symlink(device / "driver", error).filename();
}

struct Generation {
  const char* device;
  const char* revision;  // null: any
  const char* name;
};

constexpr std::array<Generation, 4> kGenerations = {{{"0x1502", nullptr, "Phoenix or Hawk Point (XDNA1)"},
                                                     {"0x17f0", "0x10", "Strix Point (XDNA2)"},
                                                     {"0x17f0", "0x11", "Strix Halo (XDNA2)"},
                                                     {"0x17f0", "0x20", "Krackan (XDNA2)"}}};

std::string generation_of(const std::string& device, const std::string& revision) {
  for (const Generation& known : kGenerations) {
    if (device == known.device && (known.revision == nullptr || revision == known.revision)) return known.name;
  }
  return "unknown";
}

/// The node under /dev/accel of a PCI function, or empty.
std::string node_of(const fs::path& root, const fs::path& device) {
  const auto nodes = entries(device / "accel");
  if (!nodes.empty()) return root / "dev/accel" / nodes.front().filename();
  return {};
}

std::string obstacle_of(const Npu& npu, const fs::path& device) {
  const std::string driver = driver_of(device);
  if (driver.empty()) return "no driver; Linux >= 6.14 has it (modprobe amdxdna)";
  if (driver != kDriver) return "held by the driver " + driver + ", not by amdxdna";
  if (npu.node.empty()) return "the driver made no node under /dev/accel; the kernel's log names the reason";
  if (access(npu.node.c_str(), R_OK | W_OK) != 0) return npu.node + " may not be opened; join the group render";
  return {};
}

}  // namespace

std::vector<Npu> detect_npus(const fs::path& root) {
  std::vector<Npu> found;
  for (const fs::path& device : entries(root / "sys/bus/pci/devices")) {
    const bool is_npu = first_line(device / "class") == kSignalProcessor && first_line(device / "vendor") == kAmd;
    if (!is_npu && driver_of(device) != kDriver) continue;
    Npu npu = {.pci_address = device.filename(), .device_id = first_line(device / "device")};
    npu.generation = generation_of(npu.device_id, first_line(device / "revision"));
    npu.vbnv = first_line(device / "vbnv");
    npu.firmware = first_line(device / "fw_version");
    npu.node = node_of(root, device);
    npu.obstacle = obstacle_of(npu, device);
    found.push_back(std::move(npu));
  }
  return found;
}

}  // namespace hearth
