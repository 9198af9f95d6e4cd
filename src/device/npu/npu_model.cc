#include "device/npu/npu_model.h"

#include <fmt/format.h>

#include <array>
#include <optional>

#include "base/attribute_file.h"

namespace hearth {
namespace {

struct KnownModel {
  uint64_t device;
  std::optional<uint64_t> revision;  // nothing: any
  const char* name;
  const char* generation;
  const char* driver_since;
};

// Ids that Linux takes: amdxdna_ids in drivers/accel/amdxdna/amdxdna_pci_drv.c. Later ones: the pci_ids of AMD's own
// driver (github.com/amd/xdna-driver, src/driver/amdxdna), which gives them no names but RyzenAI-npu3 and so on.
constexpr std::array<KnownModel, 11> kModels = {{
    {0x1502, std::nullopt, "Phoenix or Hawk Point", "XDNA1", "6.14"},
    {0x17f0, 0x10, "Strix Point", "XDNA2", "6.14"},
    {0x17f0, 0x11, "Strix Halo", "XDNA2", "6.14"},
    {0x17f0, 0x20, "Krackan", "XDNA2", "6.14"},
    {0x17f0, std::nullopt, "one of the Strix family", "XDNA2", "6.14"},
    {0x17f1, std::nullopt, "one newer than Krackan", "later than XDNA2", ""},
    {0x17f2, std::nullopt, "one newer than Krackan", "later than XDNA2", ""},
    {0x17f3, std::nullopt, "one newer than Krackan", "later than XDNA2", ""},
    {0x1b0a, std::nullopt, "one newer than Krackan", "later than XDNA2", ""},
    {0x1b0b, std::nullopt, "one newer than Krackan", "later than XDNA2", ""},
    {0x1b0c, std::nullopt, "one newer than Krackan", "later than XDNA2", ""},
}};

}  // namespace

NpuModel npu_model_of(const std::string& device_id, const std::string& revision) {
  const auto device = whole_number(device_id);
  for (const KnownModel& known : kModels) {
    if (device != known.device) continue;
    if (known.revision && whole_number(revision) != known.revision) continue;
    return {.name = known.name, .generation = known.generation, .driver_since = known.driver_since};
  }
  return {.name = "unknown", .generation = "unknown", .driver_since = ""};
}

std::filesystem::path npu_firmware_folder(const std::string& device_id, const std::string& revision) {
  return std::filesystem::path("amdnpu") /
         fmt::format("{:04x}_{:02x}", whole_number(device_id).value_or(0), whole_number(revision).value_or(0));
}

}  // namespace hearth
