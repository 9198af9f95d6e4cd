#pragma once

#include <nlohmann/json.hpp>
#include <string>

#include "base/result.h"

namespace hearth::app {

/// A machine to plan for (device/absent/absent_machine.h): "780m-64gb", "8060s-128gb", "rx7900xtx", "rtx4090", "h200",
/// where the first two take any memory, or a file that `hearth doctor --json` wrote. Errors: invalid_argument, io,
/// corrupt.
Result<nlohmann::json> find_machine(const std::string& name);

}  // namespace hearth::app
