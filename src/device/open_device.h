#pragma once

#include <memory>
#include <string_view>

#include "base/result.h"
#include "device/device.h"

namespace hearth {

/// Opens "auto", "cpu", "vulkan" (its first device), "vulkan:N" or "reference". `threads` 0 means one for each core
/// that this process may use.
Result<std::unique_ptr<Device>> open_device(std::string_view name, uint32_t threads);

}  // namespace hearth
