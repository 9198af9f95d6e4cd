#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace hearth {

/// What a device's name on the command line says: "vulkan:780M,memory=20000,tune=60", "npu:kernels,memory=2000".
struct DeviceName {
  std::string kind;   ///< "auto", "cpu", "vulkan", "npu", "reference"
  std::string which;  ///< behind a colon: a GPU's number or a part of its name; the folder of an NPU's kernels
  /// Most of a GPU's memory for weights and KV cache, or of the host's for what the NPU reads.
  std::optional<uint64_t> memory_mebibytes;
  std::optional<double> tune_seconds;  ///< that matmuls may be measured in idle time; 0 for none
  std::string xrt;                     ///< XRT's library, where it is no usual one; empty otherwise

  /// `which`, if it is a number.
  std::optional<uint32_t> index() const;
};

/// Errors: invalid_argument, naming what is wrong, for an unknown kind or option, options of a device that has none, or
/// a colon with nothing behind it.
Result<DeviceName> parse_device_name(std::string_view text);

/// The names that + joins, in their order.
std::vector<std::string_view> split_device_names(std::string_view names);

}  // namespace hearth
