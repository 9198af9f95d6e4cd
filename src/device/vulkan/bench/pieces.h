#pragma once

#include "device/device.h"

namespace hearth::vulkan {

/// Tunes a program to its end in pieces of so many milliseconds, and prints how long whoever interrupted them waited.
Result<void> tune_in_pieces(Program& program, uint32_t milliseconds);

}  // namespace hearth::vulkan
