#pragma once

#include <memory>

#include "device/device.h"

namespace hearth {

/// The meaning of every operation, in plain loops and double sums: the oracle of the other devices, not meant for
/// speed.
std::unique_ptr<Device> open_reference_device(uint32_t threads);

}  // namespace hearth
