#pragma once

#include <string>

#include "base/testing/temporary_tree.h"

namespace hearth {

/// A Strix Halo with 128 GiB, half of a GiB carved out, that nobody set up: what Linux shows of it.
struct MadeAmdGpu {
  std::string kernel = "6.18.9-amd64";
  std::string device = "0x1586";
  std::string vram = "536870912", gtt = "66953838592";
  std::string performance_level = "auto";
  std::string scheduler_firmware = "0x00000080";
  std::string platform_profile = "balanced";
  std::string lockup_timeout = "";
  std::string gtt_size = "-1";
  std::string memory_kib = "130769216";
};

inline void add_amdgpu(const TemporaryTree& tree, const MadeAmdGpu& made) {
  const std::filesystem::path device = "sys/devices/pci0000:00/0000:00:08.1/0000:c5:00.0";
  tree.write(device / "vendor", "0x1002\n");
  tree.write(device / "device", made.device + "\n");
  tree.write(device / "mem_info_vram_total", made.vram + "\n");
  tree.write(device / "mem_info_vram_used", "92274688\n");
  tree.write(device / "mem_info_gtt_total", made.gtt + "\n");
  tree.write(device / "mem_info_gtt_used", "40378368\n");
  tree.write(device / "power_dpm_force_performance_level", made.performance_level + "\n");
  tree.write(device / "fw_version/mes_fw_version", made.scheduler_firmware + "\n");
  tree.link(device / "driver", "../../../../bus/pci/drivers/amdgpu");
  tree.link("sys/class/drm/card1/device", "../../../devices/pci0000:00/0000:00:08.1/0000:c5:00.0");
  tree.write("sys/class/drm/card1-DP-1/status", "connected\n");
  tree.write("sys/class/drm/version", "drm 1.1.0 20060810\n");
  tree.write("sys/module/ttm/parameters/pages_limit", "16346152\n");
  tree.write("sys/module/amdgpu/parameters/gttsize", made.gtt_size + "\n");
  tree.write("sys/module/amdgpu/parameters/lockup_timeout", made.lockup_timeout + "\n");
  tree.write("sys/firmware/acpi/platform_profile", made.platform_profile + "\n");
  tree.write("sys/firmware/acpi/platform_profile_choices", "low-power balanced performance\n");
  tree.write("proc/sys/kernel/osrelease", made.kernel + "\n");
  tree.write("proc/meminfo", "MemTotal:       " + made.memory_kib + " kB\nMemFree: 1 kB\n");
}

}  // namespace hearth
