#include "device/amdgpu/amdgpu_advice.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>

namespace hearth {
namespace {

constexpr uint64_t kPage = 4096;
constexpr uint64_t kGibibyte = 1U << 30;

double gigabytes(uint64_t bytes) { return static_cast<double>(bytes) * 1e-9; }

/// A kernel or firmware with which compute was reported to hang or lose the device. Only those with a source.
struct KnownFault {
  uint64_t device;              // PCI id
  KernelVersion fixed_in;       // kernels from this one on are not meant; 0 means all are
  uint64_t scheduler_firmware;  // 0: any
  const char* finding;
  const char* command;
};

constexpr uint64_t kStrixHalo = 0x1586;
constexpr uint64_t kKrackan = 0x1114;
constexpr const char* kNewerKernel = "install a newer kernel and boot it (on Debian from backports)";
constexpr const char* kNewerFirmware =
    "install a newer linux-firmware (on Debian firmware-amd-graphics) and boot again";

constexpr std::array<KnownFault, 3> kKnownFaults = {{
    // github.com/kyuz0/amd-strix-halo-toolboxes, README, "Stable Configuration".
    {kStrixHalo, {6, 18, 4}, 0, "kernels before 6.18.4 were reported to be unstable with this GPU", kNewerKernel},
    // ROCm issue 5724, "amdgpu firmware (MES 0x83) causing GPU Hang / Memory access fault"; it came with linux-firmware
    // 20251125, which the README above warns of.
    {kStrixHalo,
     {},
     0x83,
     "its scheduler's firmware (MES 0x83) was reported to hang under compute (ROCm issue 5724)",
     kNewerFirmware},
    // ROCm issue 5844, "Krackan Point GPU hang (MES: 0x82)": seen no more with 6.19.10.
    {kKrackan,
     {6, 19, 10},
     0x82,
     "its scheduler's firmware (MES 0x82) was reported to hang with kernels before 6.19.10 (ROCm issue 5844)",
     kNewerKernel},
}};

void add_known_faults(const AmdSystem& system, const AmdGpu& gpu, std::vector<Advice>& advice) {
  for (const KnownFault& fault : kKnownFaults) {
    if (gpu.device_id != fault.device) continue;
    const bool is_of_kernel = fault.fixed_in != KernelVersion();
    if (is_of_kernel && !(system.kernel_version && *system.kernel_version < fault.fixed_in)) continue;
    if (fault.scheduler_firmware != 0 && gpu.scheduler_firmware != fault.scheduler_firmware) continue;
    advice.push_back(
        {is_of_kernel ? fmt::format("{} (this is {})", fault.finding, system.kernel) : fault.finding, fault.command});
  }
}

/// Since Linux 7.0 a submit of more than two seconds is taken for a hang and its device reset, where it was ten:
/// amd-gfx, February 2026 (138720); llama.cpp issues 25664 and 27076 lose devices by it.
void add_lockup_timeout(const AmdSystem& system, std::vector<Advice>& advice) {
  constexpr KernelVersion kShortTimeout = {7, 0, 0};
  if (system.has_lockup_timeout || !system.kernel_version || *system.kernel_version < kShortTimeout) return;
  advice.push_back(
      {fmt::format("Linux {} resets the GPU when a piece of work takes more than 2 seconds (10 before 7.0)",
                   system.kernel),
       "echo 'options amdgpu lockup_timeout=10000' | sudo tee /etc/modprobe.d/hearth-amdgpu.conf && sudo "
       "update-initramfs -u; counts after the next boot"});
}

/// A carve-out is nobody's but the GPU's, also while that is idle, and lies in the same memory chips as all else.
void add_carve_out(const AmdSystem& system, const AmdGpu& gpu, std::vector<Advice>& advice) {
  if (!gpu.is_integrated() || !system.memory_bytes || !gpu.vram_bytes) return;
  const uint64_t all_bytes = *system.memory_bytes + *gpu.vram_bytes;
  if (*gpu.vram_bytes < all_bytes / 4) return;
  advice.push_back(
      {fmt::format("{:.1f} GB of {:.1f} GB are carved out for it and lost to all else, though it could map them "
                   "when they are wanted",
                   gigabytes(*gpu.vram_bytes), gigabytes(all_bytes)),
       "choose the smallest frame buffer (UMA, iGPU memory) in the firmware's setup, and then what doctor says"});
}

/// What is left to everything else: an eighth of the memory, 4 GiB at least.
uint64_t pages_for_gpu(uint64_t memory_bytes) {
  const uint64_t left = std::max(memory_bytes / 8, 4 * kGibibyte);
  return (memory_bytes - std::min(memory_bytes, left)) / kPage;
}

/// An integrated GPU has the carve-out and, beside it, what it may map of the rest: half of it, unless asked otherwise
/// (ttm_tt_mgr_init in Linux's drivers/gpu/drm/ttm).
void add_memory_limit(const AmdSystem& system, const AmdGpu& gpu, std::vector<Advice>& advice) {
  if (!gpu.is_integrated() || !system.memory_bytes || !gpu.gtt_bytes || !gpu.vram_bytes) return;
  const uint64_t pages = pages_for_gpu(*system.memory_bytes);
  // Not worth a boot for less than a tenth.
  if (pages * kPage < *gpu.gtt_bytes + *gpu.gtt_bytes / 10) return;
  advice.push_back(
      {fmt::format("it may map {:.1f} GB of the system's {:.1f} GB beside its carve-out of {:.1f} GB; {:.1f} GB would "
                   "leave the rest an eighth, 4 GiB at least",
                   gigabytes(*gpu.gtt_bytes), gigabytes(*system.memory_bytes), gigabytes(*gpu.vram_bytes),
                   gigabytes(pages * kPage)),
       fmt::format("echo 'options ttm pages_limit={}' | sudo tee /etc/modprobe.d/hearth-ttm.conf && sudo "
                   "update-initramfs -u; counts after the next boot",
                   pages)});
  if (system.gtt_size_parameter && *system.gtt_size_parameter != "-1") {
    advice.push_back({fmt::format("amdgpu.gttsize={} was set at boot and limits it, too", *system.gtt_size_parameter),
                      "take amdgpu.gttsize off the kernel's command line and /etc/modprobe.d"});
  }
}

void add_power(const AmdSystem& system, const AmdGpu& gpu, std::vector<Advice>& advice) {
  constexpr std::array kSlow = {"low", "profile_min_sclk", "profile_min_mclk", "profile_standard"};
  if (gpu.performance_level && std::ranges::find(kSlow, *gpu.performance_level) != kSlow.end()) {
    advice.push_back(
        {fmt::format("its clocks are held down (power_dpm_force_performance_level is {})", *gpu.performance_level),
         fmt::format("echo auto | sudo tee /sys/class/drm/{}/device/power_dpm_force_performance_level", gpu.card)});
  }
  constexpr std::array kSaving = {"low-power", "quiet", "cool"};
  const bool is_saving =
      system.platform_profile && std::ranges::find(kSaving, *system.platform_profile) != kSaving.end();
  if (gpu.is_integrated() && is_saving && system.platform_profiles.find("performance") != std::string::npos) {
    advice.push_back({fmt::format("the machine saves power (platform_profile is {})", *system.platform_profile),
                      "echo performance | sudo tee /sys/firmware/acpi/platform_profile"});
  }
}

}  // namespace

std::vector<Advice> advise(const AmdSystem& system, const AmdGpu& gpu) {
  std::vector<Advice> advice;
  add_known_faults(system, gpu, advice);
  add_lockup_timeout(system, advice);
  add_carve_out(system, gpu, advice);
  add_memory_limit(system, gpu, advice);
  add_power(system, gpu, advice);
  return advice;
}

}  // namespace hearth
