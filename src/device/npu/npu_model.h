#pragma once

#include <cstdint>
#include <filesystem>
#include <string>

namespace hearth {

/// Which NPU of AMD a PCI function is.
struct NpuModel {
  std::string name;          ///< "Strix Halo"; "unknown" for ids that hearth does not know
  std::string generation;    ///< "XDNA1", "XDNA2", "later than XDNA2"; "unknown" likewise
  std::string driver_since;  ///< the first Linux whose own driver takes it: "6.14"; empty where hearth knows none
};

/// By the PCI function's `device` and `revision`, as read from sysfs ("0x17f0", "0x11").
NpuModel npu_model_of(const std::string& device_id, const std::string& revision);

/// The folder below /lib/firmware where the driver looks for this NPU's firmware: "amdnpu/17f0_11".
std::filesystem::path npu_firmware_folder(const std::string& device_id, const std::string& revision);

}  // namespace hearth
