#pragma once

#include <functional>
#include <string>
#include <vector>

#include "base/testing/temporary_tree.h"
#include "device/npu/npu_detection.h"
#include "device/testing/fake_npu_driver.h"

namespace hearth {

/// A machine with an NPU in some state, made of a tree of files and a driver that answers.
struct MadeNpu {
  NpuState state;
  std::string what;  ///< in a few words, for people
  std::function<void(const TemporaryTree&, FakeNpuDriver&)> make;
};

inline constexpr const char* kMadeNpuFolder = "sys/bus/pci/devices/0000:c5:00.1";

/// A PCI function that nobody drives, on a machine with this kernel.
inline void add_npu(const TemporaryTree& tree, const std::string& kernel, const std::string& device = "0x1502",
                    const std::string& revision = "0x00") {
  const std::filesystem::path folder = kMadeNpuFolder;
  tree.write(folder / "class", "0x118000\n");
  tree.write(folder / "vendor", "0x1022\n");
  tree.write(folder / "device", device + "\n");
  tree.write(folder / "revision", revision + "\n");
  tree.write("proc/sys/kernel/osrelease", kernel + "\n");
  tree.write("proc/self/limits", "Max locked memory         unlimited            unlimited            bytes     \n");
}

inline void add_firmware(const TemporaryTree& tree, const std::string& folder = "1502_00") {
  tree.write("lib/firmware/amdnpu/" + folder + "/npu.sbin.zst", "firmware");
}

inline void add_iommu(const TemporaryTree& tree) {
  tree.link(std::filesystem::path(kMadeNpuFolder) / "iommu_group", "../../../../kernel/iommu_groups/25");
  tree.make_folder("sys/kernel/iommu_groups/25");
}

/// All that a driver makes once it has taken the function.
inline void add_driver(const TemporaryTree& tree) {
  const std::filesystem::path folder = kMadeNpuFolder;
  add_firmware(tree);
  add_iommu(tree);
  tree.make_folder("sys/bus/pci/drivers/amdxdna");
  tree.link(folder / "driver", "../../drivers/amdxdna");
  tree.write(folder / "vbnv", "RyzenAI-npu1\n");
  tree.write(folder / "fw_version", "1.5.2.380\n");
  tree.write(folder / "accel/accel0/dev", "261:0\n");
}

/// One for each state, the usable one first.
inline std::vector<MadeNpu> made_npus() {
  constexpr const char* kNew = "6.19.10";
  using Tree = const TemporaryTree&;
  return {
      {NpuState::usable, "works",
       [](Tree tree, FakeNpuDriver& driver) {
         add_npu(tree, kNew);
         add_driver(tree);
         driver.answers[FakeNpuDriver::kResources] =
             FakeNpuDriver::bytes_of(uint64_t{1600}, uint64_t{10}, uint64_t{6}, uint64_t{0}, uint64_t{1});
       }},
      {NpuState::kernel_too_old, "Linux is older than 6.14",
       [](Tree tree, FakeNpuDriver&) { add_npu(tree, "6.1.0-28-amd64"); }},
      {NpuState::no_driver, "no driver is loaded", [](Tree tree, FakeNpuDriver&) { add_npu(tree, kNew); }},
      {NpuState::held_by_another, "another driver holds it",
       [](Tree tree, FakeNpuDriver&) {
         add_npu(tree, kNew);
         tree.link(std::filesystem::path(kMadeNpuFolder) / "driver", "../../drivers/vfio-pci");
       }},
      {NpuState::firmware_missing, "its firmware is not installed",
       [](Tree tree, FakeNpuDriver&) {
         add_npu(tree, kNew);
         tree.make_folder("sys/bus/pci/drivers/amdxdna");
       }},
      {NpuState::firmware_mismatch, "firmware and driver disagree",
       [](Tree tree, FakeNpuDriver&) {
         add_npu(tree, kNew);
         add_firmware(tree);
         add_iommu(tree);
         tree.make_folder("sys/bus/pci/drivers/amdxdna");
       }},
      {NpuState::no_iommu, "the IOMMU is off",
       [](Tree tree, FakeNpuDriver& driver) {
         add_npu(tree, kNew);
         add_driver(tree);
         tree.write("proc/cmdline", "quiet amd_iommu=off\n");
         driver.open_result = -EINVAL;
       }},
      {NpuState::no_node, "it has no node",
       [](Tree tree, FakeNpuDriver&) {
         add_npu(tree, kNew);
         add_driver(tree);
         std::filesystem::remove_all(tree.root() / kMadeNpuFolder / "accel");
       }},
      {NpuState::no_permission, "this user may not open it",
       [](Tree tree, FakeNpuDriver& driver) {
         add_npu(tree, kNew);
         add_driver(tree);
         driver.open_result = -EACCES;
       }},
      {NpuState::memlock_too_low, "too little memory may be locked",
       [](Tree tree, FakeNpuDriver&) {
         add_npu(tree, kNew);
         add_driver(tree);
         tree.write("proc/self/limits",
                    "Max locked memory         8388608              8388608              bytes     \n");
       }},
      {NpuState::driver_hangs, "its driver hangs",
       [](Tree tree, FakeNpuDriver& driver) {
         add_npu(tree, kNew);
         add_driver(tree);
         driver.hang_at = FakeNpuDriver::kClocks;
       }},
      {NpuState::driver_fails, "its driver answers with an error",
       [](Tree tree, FakeNpuDriver& driver) {
         add_npu(tree, kNew);
         add_driver(tree);
         driver.errors[FakeNpuDriver::kFirmwareVersion] = -EIO;
       }},
  };
}

}  // namespace hearth
