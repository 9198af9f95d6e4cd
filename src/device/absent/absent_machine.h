#pragma once

#include <memory>
#include <nlohmann/json.hpp>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "device/device.h"

namespace hearth {

/// Devices of a machine that need not be here (absent_device.h), as `hearth doctor --json` describes it:
///
///     {"cpu": {"name", "usable_cores"},
///      "memory": {"total_bytes", "free_bytes", "read_gb_per_second"},
///      "gpus": [{...all that doctor says of a GPU..., "read_gb_per_second"}]}
///
/// Without read_gb_per_second, which is what reading the memory reaches, plans have no speeds. `names` are as in
/// open_devices, and likewise chosen. Errors: invalid_argument (no such description, or a name), unsupported (a device
/// that is not there or that hearth cannot run on).
Result<std::vector<std::unique_ptr<Device>>> open_absent_devices(const nlohmann::json& machine, std::string_view names);

}  // namespace hearth
