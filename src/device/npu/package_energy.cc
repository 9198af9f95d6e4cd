#include "device/npu/package_energy.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/attribute_file.h"

namespace hearth {

namespace fs = std::filesystem;

Result<PackageEnergy> PackageEnergy::find(const fs::path& root) {
  PackageEnergy energy;
  for (const fs::path& zone : folder_entries(root / "sys/class/powercap")) {
    // Zones of AMD's processors, too, belong to the kernel's driver intel_rapl: "package-0" holds all others of it.
    if (!read_attribute(zone / "name").value_or("").starts_with("package-")) continue;
    Counter counter{.file = zone / "energy_uj"};
    const auto now = read_number_attribute(counter.file);
    if (!now) {
      return fail(ErrorCode::unsupported,
                  fmt::format("the energy that the processor takes may not be read: {}", counter.file.string()),
                  fmt::format("`sudo chmod a+r {}` lets everybody until the next boot", counter.file.string()));
    }
    counter.last_microjoules = *now;
    counter.range_microjoules = read_number_attribute(zone / "max_energy_range_uj").value_or(0);
    energy.counters_.push_back(counter);
  }
  if (energy.counters_.empty()) {
    return fail(ErrorCode::unsupported,
                fmt::format("nothing counts the energy that the processor takes: {} has no package",
                            (root / "sys/class/powercap").string()),
                "`sudo modprobe intel_rapl_msr`, which counts it on AMD's processors, too");
  }
  return energy;
}

Result<double> PackageEnergy::joules() {
  for (Counter& counter : counters_) {
    const auto now = read_number_attribute(counter.file);
    if (!now) return fail(ErrorCode::io, fmt::format("{} cannot be read any more", counter.file.string()));
    const bool wrapped = *now < counter.last_microjoules;
    const uint64_t until_it_wrapped =
        counter.range_microjoules - std::min(counter.range_microjoules, counter.last_microjoules);
    passed_microjoules_ += wrapped ? until_it_wrapped + *now : *now - counter.last_microjoules;
    counter.last_microjoules = *now;
  }
  return static_cast<double>(passed_microjoules_) * 1e-6;
}

}  // namespace hearth
