#pragma once

#include <memory>
#include <nlohmann/json.hpp>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "device/device.h"
#include "device/npu/npu_choice.h"

namespace hearth {

/// Opens "auto" (the best GPU that hearth can run on and that is no processor playing one, else the processor; a line
/// of the log says which and why), "cpu", "vulkan" (the best GPU), "vulkan:N" (by the loader's order), "vulkan:NAME"
/// (by a part of its name), "npu" (the processor with an NPU beside it, device/npu/npu_device.h; kernels from the usual
/// folder), "npu:FOLDER" or "reference". `threads` 0 means one for each core that this process may use.
///
/// With `batch_invariant` the logits of a sequence are the same, bit for bit, whatever else is in its steps, however
/// its prompt is cut into steps and whether a prefix of it was cached. On the processor and the reference they always
/// are; a GPU is slower then, and an NPU is refused. `prefer` says when a product goes to an NPU.
///
/// Behind the name of a Vulkan device stand options (device_name.h): "vulkan:0,memory=20000,tune=60" uses at most 20000
/// MiB for weights and KV cache, and measures matmuls for at most 60 seconds at a first start. It keeps compiled
/// pipelines and measured tuning in $XDG_CACHE_HOME/hearth/pipelines (or ~/.cache/...). For tests it heeds
/// HEARTH_VULKAN_VALIDATION (any value: the validation layer is on), HEARTH_VULKAN_TUNING (vulkan/paths/tuning.h), and
/// HEARTH_VULKAN_TUNE and HEARTH_VULKAN_MEMORY_MB for the two options.
Result<std::unique_ptr<Device>> open_device(std::string_view name, uint32_t threads, bool batch_invariant = false,
                                            NpuPreference prefer = NpuPreference::speed);

/// Opens devices whose names are joined by '+', in this order, such as "vulkan:0+vulkan:1" or "cpu+vulkan". Errors:
/// also invalid_argument, where power is preferred and none of them is an NPU.
Result<std::vector<std::unique_ptr<Device>>> open_devices(std::string_view names, uint32_t threads,
                                                          bool batch_invariant = false,
                                                          NpuPreference prefer = NpuPreference::speed);

/// All GPUs that the Vulkan loader lists, by the index of "vulkan:N", each an object of properties; also those that
/// hearth cannot run on ("usable", "obstacle"). Errors: unsupported (no loader, no driver, built without Vulkan).
Result<nlohmann::ordered_json> describe_gpus();

}  // namespace hearth
