#pragma once

#include <memory>
#include <nlohmann/json.hpp>

#include "base/result.h"
#include "device/device.h"
#include "device/device_name.h"

namespace hearth {

/// One of the GPUs that describe_vulkan_devices (vulkan_device.h) described, on this machine or another, as a device to
/// plan for (device/absent). `name` chooses as open_vulkan_device does; "auto" takes no processor that plays a GPU.
/// `host` is the memory that an integrated GPU shares. Errors: invalid_argument (a description with numbers that are
/// none), unsupported.
Result<std::unique_ptr<Device>> open_absent_gpu(const nlohmann::json& described, const DeviceName& name,
                                                const DeviceMemory& host);

}  // namespace hearth
