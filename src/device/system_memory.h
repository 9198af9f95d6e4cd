#pragma once

#include "base/free_memory.h"
#include "device/device.h"

namespace hearth {

/// The host's memory as it is now.
inline DeviceMemory system_memory() {
  DeviceMemory memory;
  if (const uint64_t free_bytes = free_memory_bytes(); free_bytes > 0) memory.free_bytes = free_bytes;
  return memory;
}

}  // namespace hearth
