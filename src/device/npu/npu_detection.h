#pragma once

#include <chrono>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "device/npu/npu_answers.h"
#include "device/npu/npu_driver.h"
#include "device/npu/npu_model.h"

namespace hearth {

/// What the system shows of an NPU without opening it. Empty texts are unknown.
struct NpuSigns {
  std::string pci_address;  ///< "0000:c5:00.1"
  std::string device_id;    ///< "0x1502"
  std::string revision;     ///< "0x00"
  NpuModel model;
  std::string vbnv;               ///< the driver's name of it
  std::string firmware;           ///< version, by sysfs
  std::filesystem::path node;     ///< "/dev/accel/accel0"; empty where the driver made none
  std::string bound_driver;       ///< that holds the PCI function; empty for none
  bool is_driven = false;         ///< that one is amdxdna, Linux's or AMD's own (amdxdna_legacy)
  bool driver_is_loaded = false;  ///< amdxdna, whether or not it took this NPU
  bool has_iommu_group = false;
  bool has_firmware_file = false;
  std::string kernel;     ///< "6.12.9-amd64"
  std::string iommu_off;  ///< the word of the kernel's command line that switches the IOMMU off
  /// That this process may lock; UINT64_MAX without a limit, nothing where that cannot be read.
  std::optional<uint64_t> lockable_bytes;
};

enum class NpuState : uint8_t {
  usable,
  kernel_too_old,     ///< no driver, and Linux older than the first that has one
  no_driver,          ///< none is loaded, or the loaded one does not know this NPU
  held_by_another,    ///< by vfio-pci, for instance
  firmware_missing,   ///< the driver refused it, and the file that it loads is not there
  firmware_mismatch,  ///< firmware and driver disagree
  no_iommu,           ///< none, or one without PASIDs
  no_node,
  no_permission,
  memlock_too_low,
  driver_hangs,
  driver_fails,  ///< opening or asking ends with another error
};

/// "usable", "kernel_too_old", ...: for programs.
std::string_view name_of(NpuState state);

/// An NPU of AMD, as it is found.
struct Npu {
  NpuSigns signs;
  NpuAnswers answers;
  NpuState state = NpuState::usable;
  std::string obstacle;  ///< what keeps a program from using it; empty for none that can be seen
  std::string remedy;    ///< what to do about that
};

/// What looks like an NPU of AMD in `root`/sys. Nothing is opened.
std::vector<NpuSigns> find_npus(const std::filesystem::path& root);

/// Which of the states this is.
Npu judge_npu(NpuSigns signs, NpuAnswers answers);

/// Every NPU with what its driver answers, in the order of PCI addresses. `root` replaces "/" in tests, `driver` the
/// kernel's. Neither sysfs nor the driver is waited for longer than `limit` a question. Errors: timed_out (sysfs).
Result<std::vector<Npu>> detect_npus(const std::filesystem::path& root, const std::shared_ptr<NpuDriver>& driver,
                                     std::chrono::milliseconds limit);

}  // namespace hearth
