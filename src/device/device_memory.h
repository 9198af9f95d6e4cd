#pragma once

#include <algorithm>

#include "base/free_memory.h"
#include "device/device.h"

namespace hearth {

/// The host's memory as it is now.
inline DeviceMemory system_memory() {
  DeviceMemory memory = {.name = "the host"};
  if (const uint64_t free_bytes = free_memory_bytes(); free_bytes > 0) memory.free_bytes = free_bytes;
  return memory;
}

/// Takes off what is promised and not allocated yet: it is not free, though nobody has it.
inline void take_off(DeviceMemory& memory, uint64_t promised_bytes) {
  if (memory.free_bytes) *memory.free_bytes -= std::min(*memory.free_bytes, promised_bytes);
}

/// What may be planned for of what is free, UINT64_MAX where nobody knows. `reserve_bytes` stay for what drivers keep
/// for themselves, and for other programs, however much of it is taken already; if nobody said how much, on a GPU a
/// tenth of all, 1 GiB at most.
inline uint64_t usable_bytes(const DeviceMemory& memory, std::optional<uint64_t> reserve_bytes) {
  const uint64_t free_bytes = memory.free_bytes.value_or(UINT64_MAX);
  if (!memory.free_bytes) return free_bytes;
  const uint64_t all = memory.total_bytes > 0 ? memory.total_bytes : free_bytes;
  const uint64_t usual = memory.kind == DeviceMemory::Kind::system ? 0 : std::min(all / 10, uint64_t{1} << 30);
  return free_bytes - std::min(free_bytes, reserve_bytes.value_or(usual));
}

}  // namespace hearth
