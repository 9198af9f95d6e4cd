#pragma once

#include <filesystem>
#include <functional>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <string_view>

#include "base/result.h"
#include "device/device.h"

struct VolkDeviceTable;

namespace hearth {

struct VulkanOptions {
  std::optional<uint32_t> index;  ///< which device, in the loader's order; without it the best one
  std::string name;               ///< or a part of the device's name
  bool only_hardware = false;     ///< no processor that plays a GPU
  bool validation = false;        ///< the validation layer with synchronisation validation, its messages to stderr
  /// The folder where compiled pipelines and measured tuning are kept; empty keeps none.
  std::filesystem::path pipeline_cache;
  /// Seconds that a program may spend on measuring tunings that are not kept yet (Program::tune); 0 measures nothing.
  /// Without it kTuneSeconds, and 0 on a CPU that passes for a GPU.
  std::optional<double> tune_seconds;
  /// Tells no more free memory than this less the weights (Device::memories), so that other programs keep the rest. The
  /// KV cache is what fits then.
  std::optional<uint64_t> memory_bytes;
  bool batch_invariant = false;                     ///< open_device.h
  bool staging = false;                             ///< for tests: never writes weights to mapped memory
  std::function<void(VolkDeviceTable&)> wrap = {};  ///< for tests: puts functions before the driver's
};

/// Of idle time. Enough for the first counts of tokens of a large model on a large GPU; what is missing is measured by
/// later starts.
inline constexpr double kTuneSeconds = 5;

/// A device that can tell how it was used, for tests.
class VulkanDevice : public Device {
 public:
  /// For programs compiled from now on, "name=value,..." over the defaults (tuning.h). Where one of them is about
  /// matmuls, measured tunings are neither made nor used. Errors: invalid_argument.
  virtual Result<void> set_tuning(std::string_view changes) = 0;

  /// Messages of the validation layer so far, in the whole process.
  virtual uint32_t validation_messages() const = 0;

  /// Compute pipelines made since the device was opened.
  virtual uint32_t pipelines_made() const = 0;
};

/// Opens a GPU. Errors: unsupported (no loader, no such device, too old a driver), out_of_memory.
Result<std::unique_ptr<VulkanDevice>> open_vulkan_device(const VulkanOptions& options);

/// All devices that the loader lists, by index, each an object with all that was found (gpu_properties.h) and, as
/// "kept_tuning", what is kept of it in `pipeline_cache`: null, or an object of the file and the choices in it, or of
/// the file and the reason why it is ignored. Errors: unsupported (no loader, no driver).
Result<nlohmann::ordered_json> describe_vulkan_devices(const std::filesystem::path& pipeline_cache);

}  // namespace hearth
