#pragma once

#include <filesystem>
#include <string>
#include <vector>

namespace hearth {

/// An NPU of AMD as the kernel shows it. hearth does not compute on one; this is for `hearth doctor`.
struct Npu {
  std::string pci_address;  ///< "0000:c5:00.1"
  std::string device_id;    ///< "0x1502"
  std::string generation;   ///< "Phoenix or Hawk Point (XDNA1)"; "unknown" for ids that hearth does not know
  std::string vbnv;         ///< the driver's name of it; empty without a driver
  std::string firmware;     ///< version; empty without a driver
  std::string node;         ///< "/dev/accel/accel0"; empty without a driver
  std::string obstacle;     ///< what keeps a program from using it, and what to do; empty for none that can be seen
};

/// Looks in /sys only: nothing is opened or started. `root` replaces "/" in tests.
std::vector<Npu> detect_npus(const std::filesystem::path& root = "/");

}  // namespace hearth
