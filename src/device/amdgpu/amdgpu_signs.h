#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "base/kernel.h"

namespace hearth {

/// What the kernel's driver amdgpu shows of a GPU in sysfs. Absent is unknown.
struct AmdGpu {
  std::string card;         ///< "card1"
  std::string pci_address;  ///< "0000:c4:00.0"
  std::optional<uint64_t> device_id;
  std::string chip;  ///< "Strix Halo" of chips that hearth knows by their id, all of them with a CPU beside
  std::optional<uint64_t> vram_bytes, vram_used_bytes;  ///< of an integrated GPU: the carve-out of the system's memory
  std::optional<uint64_t> gtt_bytes, gtt_used_bytes;    ///< of the system's memory, that it may map beside
  std::optional<std::string> performance_level;         ///< power_dpm_force_performance_level: "auto", "low", ...
  std::optional<uint64_t> scheduler_firmware;           ///< of MES, which schedules queues: 0x83

  /// Whether it lives in the system's memory: known of chips that hearth knows.
  bool is_integrated() const { return !chip.empty(); }
};

/// What holds for all of them.
struct AmdSystem {
  std::string kernel;  ///< "6.18.4-amd64"; empty where unknown
  std::optional<KernelVersion> kernel_version;
  std::optional<uint64_t> memory_bytes;           ///< of the system, without carve-outs
  std::optional<uint64_t> ttm_pages_limit;        ///< of 4096 bytes, that all GPUs may map together
  std::optional<std::string> gtt_size_parameter;  ///< amdgpu.gttsize in MiB; "-1" leaves it to the limit above
  bool has_lockup_timeout = false;                ///< amdgpu.lockup_timeout was given at boot
  std::optional<std::string> platform_profile;    ///< "balanced"
  std::string platform_profiles;                  ///< "low-power balanced performance"
  std::vector<AmdGpu> gpus;
};

/// Reads `root`/sys and `root`/proc; a driver may hang at that (watched_call).
AmdSystem read_amd_system(const std::filesystem::path& root);

}  // namespace hearth
