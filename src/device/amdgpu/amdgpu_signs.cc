#include "device/amdgpu/amdgpu_signs.h"

#include <algorithm>
#include <array>
#include <cctype>
#include <fstream>

#include "base/attribute_file.h"

namespace hearth {
namespace {

namespace fs = std::filesystem;

struct KnownChip {
  uint64_t device;
  const char* name;
};

/// Those with a CPU beside, by the PCI ids of https://pci-ids.ucw.cz/read/PC/1002.
constexpr std::array<KnownChip, 9> kChips = {{{0x15bf, "Phoenix"},
                                              {0x15c8, "Phoenix 2"},
                                              {0x1900, "Hawk Point"},
                                              {0x1901, "Hawk Point 2"},
                                              {0x150e, "Strix Point"},
                                              {0x1586, "Strix Halo"},
                                              {0x1114, "Krackan"},
                                              {0x1681, "Rembrandt"},
                                              {0x1638, "Cezanne"}}};

std::string chip_of(std::optional<uint64_t> device) {
  const auto* known = std::ranges::find_if(kChips, [&](const KnownChip& chip) { return chip.device == device; });
  return known == kChips.end() ? "" : known->name;
}

/// "card1", not its connectors ("card1-DP-1").
bool is_card(const std::string& name) {
  constexpr std::string_view kCard = "card";
  return name.starts_with(kCard) && name.size() > kCard.size() &&
         std::ranges::all_of(name.substr(kCard.size()), [](unsigned char c) { return std::isdigit(c) != 0; });
}

std::string name_behind(const fs::path& link) {
  std::error_code error;
  return fs::read_symlink(link, error).filename();
}

AmdGpu read_gpu(const fs::path& card) {
  const fs::path device = card / "device";
  AmdGpu gpu = {.card = card.filename(), .pci_address = name_behind(device)};
  gpu.device_id = read_number_attribute(device / "device");
  gpu.chip = chip_of(gpu.device_id);
  gpu.vram_bytes = read_number_attribute(device / "mem_info_vram_total");
  gpu.vram_used_bytes = read_number_attribute(device / "mem_info_vram_used");
  gpu.gtt_bytes = read_number_attribute(device / "mem_info_gtt_total");
  gpu.gtt_used_bytes = read_number_attribute(device / "mem_info_gtt_used");
  gpu.performance_level = read_attribute(device / "power_dpm_force_performance_level");
  gpu.scheduler_firmware = read_number_attribute(device / "fw_version/mes_fw_version");
  return gpu;
}

std::optional<uint64_t> memory_bytes(const fs::path& root) {
  std::ifstream file(root / "proc/meminfo");
  std::string key;
  uint64_t kibibytes = 0;
  if (!(file >> key >> kibibytes) || key != "MemTotal:") return std::nullopt;
  return kibibytes * 1024;
}

}  // namespace

AmdSystem read_amd_system(const fs::path& root) {
  AmdSystem system;
  system.kernel = kernel_release(root).value_or("");
  system.kernel_version = kernel_version(system.kernel);
  system.memory_bytes = memory_bytes(root);
  system.ttm_pages_limit = read_number_attribute(root / "sys/module/ttm/parameters/pages_limit");
  system.gtt_size_parameter = read_attribute(root / "sys/module/amdgpu/parameters/gttsize");
  system.has_lockup_timeout = read_attribute(root / "sys/module/amdgpu/parameters/lockup_timeout").has_value();
  system.platform_profile = read_attribute(root / "sys/firmware/acpi/platform_profile");
  system.platform_profiles = read_attribute(root / "sys/firmware/acpi/platform_profile_choices").value_or("");
  for (const fs::path& card : folder_entries(root / "sys/class/drm")) {
    if (is_card(card.filename()) && name_behind(card / "device/driver") == "amdgpu") {
      system.gpus.push_back(read_gpu(card));
    }
  }
  return system;
}

}  // namespace hearth
