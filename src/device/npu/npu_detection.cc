#include "device/npu/npu_detection.h"

#include <algorithm>
#include <array>
#include <utility>

#include "base/attribute_file.h"
#include "base/kernel.h"
#include "base/lockable_memory.h"
#include "base/reading/watched_call.h"

namespace hearth {
namespace {

namespace fs = std::filesystem;

constexpr const char* kAmd = "0x1022";
constexpr const char* kSignalProcessor = "0x118000";                            // the PCI class that NPUs have
constexpr std::array<const char*, 2> kDrivers = {"amdxdna", "amdxdna_legacy"};  // the second of AMD's own packages

std::string attribute(const fs::path& path) { return read_attribute(path).value_or(""); }

std::string driver_of(const fs::path& device) {
  std::error_code error;
  return fs::read_symlink(device / "driver", error).filename();
}

bool is_there(const fs::path& path) {
  std::error_code error;
  return fs::exists(path, error);
}

/// A file for this very NPU, whatever version the kernel asks for: npu.sbin, npu_7.sbin, npu.sbin.zst.
bool has_firmware(const fs::path& root, const NpuSigns& npu) {
  const fs::path folder = npu_firmware_folder(npu.device_id, npu.revision);
  for (const fs::path& file : folder_entries(root / "lib/firmware" / folder)) {
    if (file.filename().string().starts_with("npu")) return true;
  }
  return false;
}

/// The node under /dev/accel of a PCI function, or empty.
fs::path node_of(const fs::path& root, const fs::path& device) {
  const auto nodes = folder_entries(device / "accel");
  return nodes.empty() ? fs::path() : root / "dev/accel" / nodes.front().filename();
}

std::string iommu_off(const fs::path& root) {
  for (const char* word : {"amd_iommu=off", "iommu=off"}) {
    if (has_kernel_argument(root, word)) return word;
  }
  return {};
}

}  // namespace

std::vector<NpuSigns> find_npus(const fs::path& root) {
  std::vector<NpuSigns> found;
  for (const fs::path& device : folder_entries(root / "sys/bus/pci/devices")) {
    NpuSigns npu = {.pci_address = device.filename(), .bound_driver = driver_of(device)};
    const bool is_npu = attribute(device / "class") == kSignalProcessor && attribute(device / "vendor") == kAmd;
    npu.is_driven = std::ranges::find(kDrivers, npu.bound_driver) != kDrivers.end();
    if (!is_npu && !npu.is_driven) continue;
    npu.device_id = attribute(device / "device");
    npu.revision = attribute(device / "revision");
    npu.model = npu_model_of(npu.device_id, npu.revision);
    npu.vbnv = attribute(device / "vbnv");
    npu.firmware = attribute(device / "fw_version");
    npu.node = node_of(root, device);
    npu.driver_is_loaded = std::ranges::any_of(
        kDrivers, [&](const char* driver) { return is_there(root / "sys/bus/pci/drivers" / driver); });
    npu.has_iommu_group = is_there(device / "iommu_group");
    npu.has_firmware_file = has_firmware(root, npu);
    npu.kernel = kernel_release(root).value_or("");
    npu.iommu_off = iommu_off(root);
    npu.lockable_bytes = lockable_bytes(root);
    found.push_back(std::move(npu));
  }
  return found;
}

Result<std::vector<Npu>> detect_npus(const fs::path& root, const std::shared_ptr<NpuDriver>& driver,
                                     std::chrono::milliseconds limit) {
  auto found = watched_call([root]() -> Result<std::vector<NpuSigns>> { return find_npus(root); }, limit, {});
  if (!found) return pass_on(found);
  std::vector<Npu> npus;
  for (NpuSigns& signs : *found) {
    const bool may_be_opened = signs.is_driven && !signs.node.empty();
    NpuAnswers answers = may_be_opened ? ask_npu(driver, signs.node, limit) : NpuAnswers();
    npus.push_back(judge_npu(std::move(signs), std::move(answers)));
  }
  return npus;
}

}  // namespace hearth
