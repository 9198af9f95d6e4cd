// Which of the ways of not working an NPU's is, and what to do about it.
#include <fmt/format.h>

#include <array>
#include <cerrno>
#include <system_error>

#include "base/kernel.h"
#include "device/npu/npu_detection.h"

namespace hearth {
namespace {

constexpr KernelVersion kFirstKernel = {6, 14, 0};
/// The driver's heap on the device lies in host memory, which is locked.
constexpr uint64_t kLockedHeapBytes = 64U << 20;

struct Judgement {
  NpuState state = NpuState::usable;
  std::string obstacle;
  std::string remedy;
};

std::string error_text(int error) { return std::generic_category().message(error); }

std::string iommu_remedy(const NpuSigns& npu) {
  return npu.iommu_off.empty()
             ? "switch the IOMMU (AMD-Vi) on in the firmware's setup, and boot without amd_iommu=off"
             : fmt::format("boot without {} on the kernel's command line (/etc/default/grub, then update-grub)",
                           npu.iommu_off);
}

/// The driver is loaded and did not take the device. Only the kernel's log, which users may not read, names the reason;
/// what is missing can be seen, and what is left is nearly always the firmware (amd/xdna-driver issues 389, 1074).
Judgement refused(const NpuSigns& npu) {
  const std::string folder = "/lib/firmware" / npu_firmware_folder(npu.device_id, npu.revision);
  if (npu.model.driver_since.empty()) {
    return {NpuState::no_driver,
            "the driver amdxdna is loaded but does not take this NPU, which hearth knows no Linux for",
            "try a newer kernel, or AMD's own driver (github.com/amd/xdna-driver)"};
  }
  if (!npu.has_firmware_file) {
    return {NpuState::firmware_missing, fmt::format("its driver found no firmware in {}", folder),
            "install the newest linux-firmware, which has it, and boot again"};
  }
  if (!npu.has_iommu_group) {
    return {NpuState::no_iommu, "its driver is loaded but did not take it, and no IOMMU translates for it",
            iommu_remedy(npu)};
  }
  return {NpuState::firmware_mismatch,
          fmt::format("its driver is loaded but did not take it: most likely driver ({}) and firmware ({}) disagree",
                      npu.kernel.empty() ? "of an unknown kernel" : "of Linux " + npu.kernel, folder),
          "`sudo dmesg | grep amdxdna` names the reason; take kernel and firmware from the same source, both new"};
}

Judgement without_driver(const NpuSigns& npu) {
  if (npu.driver_is_loaded) return refused(npu);
  const auto kernel = kernel_version(npu.kernel);
  if (kernel && *kernel < kFirstKernel) {
    return {NpuState::kernel_too_old, fmt::format("Linux {} has no driver for NPUs", npu.kernel),
            "boot Linux 6.14 or newer (on Debian 12 from backports)"};
  }
  return {NpuState::no_driver, "its driver amdxdna is not loaded",
          "`sudo modprobe amdxdna`; where there is no such module, a kernel with CONFIG_DRM_ACCEL_AMDXDNA"};
}

Judgement not_opened(const NpuSigns& npu, int error) {
  const std::string node = npu.node;
  switch (error) {
    case EACCES:
    case EPERM:
      return {NpuState::no_permission, fmt::format("{} may not be opened by this user", node),
              "`sudo usermod -aG render $USER`, and log in again"};
    // Which error it is depends on what the IOMMU lacks: iommu_sva_bind_device (amd/xdna-driver issues 62, 704, 1028).
    case EINVAL:
    case ENODEV:
    case EOPNOTSUPP:
    case ENOSPC:
      return {NpuState::no_iommu,
              fmt::format("its driver cannot share this process's addresses with it: the IOMMU is off or has no PASIDs "
                          "(opening {}: {})",
                          node, error_text(error)),
              iommu_remedy(npu)};
    case ENOENT:
    case ENXIO:
      return {NpuState::no_node, fmt::format("{} is not there", node),
              "where this is a container, hand the device on to it (--device /dev/accel)"};
    default:
      return {NpuState::driver_fails, fmt::format("opening {}: {}", node, error_text(error)),
              "`sudo dmesg | grep amdxdna` names the reason"};
  }
}

Judgement judge(const NpuSigns& npu, const NpuAnswers& answers) {
  if (npu.bound_driver.empty()) return without_driver(npu);
  if (!npu.is_driven) {
    return {NpuState::held_by_another, fmt::format("the driver {} holds it, not amdxdna", npu.bound_driver),
            fmt::format("take it from {} where no virtual machine needs it (driverctl unset-override {})",
                        npu.bound_driver, npu.pci_address)};
  }
  if (npu.node.empty()) {
    return {NpuState::no_node, "its driver made no node under /dev/accel",
            "`sudo dmesg | grep amdxdna` names the reason"};
  }
  if (answers.hangs) {
    return {NpuState::driver_hangs, answers.hangs->message,
            "`sudo dmesg | grep amdxdna` may name the reason; booting again frees an NPU that hangs"};
  }
  if (answers.open_error != 0) return not_opened(npu, answers.open_error);
  // The driver's mailbox: xdna-driver's README, "the mailbox times out right after load".
  if (answers.first_error == ETIME || answers.first_error == ETIMEDOUT) {
    return {NpuState::firmware_mismatch, "its firmware does not answer the driver: most likely the two disagree",
            "take kernel and firmware from the same source, both new, and boot again"};
  }
  if (answers.first_error != 0) {
    return {NpuState::driver_fails, fmt::format("its driver answers: {}", error_text(answers.first_error)),
            "`sudo dmesg | grep amdxdna` names the reason"};
  }
  if (npu.lockable_bytes && *npu.lockable_bytes < kLockedHeapBytes) {
    return {NpuState::memlock_too_low,
            fmt::format("a program needs {} MiB of locked memory for it, and this user may lock {:.1f}",
                        kLockedHeapBytes >> 20, static_cast<double>(*npu.lockable_bytes) / (1 << 20)),
            "`echo '* - memlock unlimited' | sudo tee /etc/security/limits.d/99-npu.conf`, and log in again"};
  }
  return {};
}

}  // namespace

std::string_view name_of(NpuState state) {
  constexpr std::array<std::string_view, 12> kNames = {
      "usable",   "kernel_too_old", "no_driver",     "held_by_another", "firmware_missing", "firmware_mismatch",
      "no_iommu", "no_node",        "no_permission", "memlock_too_low", "driver_hangs",     "driver_fails"};
  return kNames[static_cast<size_t>(state)];
}

Npu judge_npu(NpuSigns signs, NpuAnswers answers) {
  Judgement judgement = judge(signs, answers);
  return {.signs = std::move(signs),
          .answers = std::move(answers),
          .state = judgement.state,
          .obstacle = std::move(judgement.obstacle),
          .remedy = std::move(judgement.remedy)};
}

}  // namespace hearth
