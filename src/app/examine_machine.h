#pragma once

#include <chrono>
#include <filesystem>
#include <functional>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>

#include "base/result.h"
#include "device/npu/npu_device.h"
#include "device/npu/npu_driver.h"

namespace hearth::app {

/// Where a machine's facts come from. Tests replace the root, the driver and the list of GPUs.
struct MachineSources {
  std::filesystem::path root = "/";
  std::shared_ptr<NpuDriver> npu_driver;                             ///< null asks no driver
  std::function<Result<nlohmann::ordered_json>()> describe_gpus;     ///< as device/open_device.h has it
  std::chrono::milliseconds patience = std::chrono::seconds(3);      ///< with a driver or a disk, for each question
  std::chrono::milliseconds gpu_patience = std::chrono::minutes(1);  ///< with Vulkan, which may compile first
  bool measure_memory = false;                                       ///< its bandwidth, which takes 512 MiB of it
  std::filesystem::path folder;                                      ///< whose disk is measured; empty measures none
  /// As which a usable NPU is compared with the processor; nothing compares none. Root and driver are those above.
  std::optional<NpuOptions> npu;
};

/// Everything that `hearth doctor` knows of a machine, in one object: "cpu", "memory", "numa_nodes", "kernel", "gpus",
/// "gpu_error", "render_nodes", "amd_gpus", "npus", "npu_error", "npu_comparison", "disk". What is unknown is null.
nlohmann::ordered_json examine_machine(const MachineSources& sources);

}  // namespace hearth::app
