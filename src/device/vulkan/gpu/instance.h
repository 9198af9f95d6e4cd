#pragma once

#include <volk.h>

#include <cstdint>
#include <vector>

#include "base/result.h"

namespace hearth::vulkan {

/// The process's connection to the Vulkan loader, shared by all devices and made when it is first asked for.
/// Thread-safe.
///
/// It lives to the process's end: NVIDIA's driver finds no device any more after some thirty instances in one process,
/// and at the end of a process drivers may be gone before anything static is. Once the validation layer was asked for,
/// an instance with it serves all: volk's functions are those of the last instance, and with another one's devices
/// extensions go missing.
class Instance {
 public:
  /// With synchronisation validation where `validation` is, or was, asked for, its messages to stderr. Errors:
  /// unsupported (no loader, too old a loader, no driver, no validation layer when asked for); asking again tries
  /// again.
  static Result<const Instance*> get(bool validation);

  /// Messages of the validation layer so far, in the whole process; 0 is the only good number.
  static uint32_t validation_messages();

  std::vector<VkPhysicalDevice> devices() const;

 private:
  Instance() = default;
  Result<void> create(bool validation);
  void count_messages();

  VkInstance instance_ = VK_NULL_HANDLE;
};

}  // namespace hearth::vulkan
