#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "device/device.h"

namespace hearth {

struct VulkanOptions {
  uint32_t index = 0;       ///< which device, in the loader's order
  bool validation = false;  ///< the validation layer with synchronisation validation, its messages to stderr
};

/// A device that can tell how it was used, for tests.
class VulkanDevice : public Device {
 public:
  /// For programs compiled from now on, "name=value,..." over the defaults (tuning.h). Errors: invalid_argument.
  virtual Result<void> set_tuning(std::string_view changes) = 0;

  /// Messages of the validation layer so far.
  virtual uint32_t validation_messages() const = 0;
};

/// Opens a GPU. Errors: unsupported (no loader, no such device, too old a driver), out_of_memory.
Result<std::unique_ptr<VulkanDevice>> open_vulkan_device(const VulkanOptions& options);

/// Names of the devices that the loader lists, by index.
std::vector<std::string> list_vulkan_devices();

}  // namespace hearth
