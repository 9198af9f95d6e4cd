#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace hearth {

/// What a device's name on the command line says: "vulkan:780M,memory=20000,tune=60".
struct DeviceName {
  std::string kind;                          ///< "auto", "cpu", "vulkan", "reference"
  std::string which;                         ///< behind a colon: a number, or a part of a name
  std::optional<uint64_t> memory_mebibytes;  ///< most of a GPU's memory for weights and KV cache
  std::optional<double> tune_seconds;        ///< that matmuls may be measured in idle time; 0 for none

  /// `which`, if it is a number.
  std::optional<uint32_t> index() const;
};

/// Errors: invalid_argument, naming what is wrong, for an unknown kind or option, options of a device that has none, or
/// a colon with nothing behind it.
Result<DeviceName> parse_device_name(std::string_view text);

/// The names that + joins, in their order.
std::vector<std::string_view> split_device_names(std::string_view names);

}  // namespace hearth
