#pragma once

#include <span>

#include "base/result.h"
#include "device/device.h"

namespace hearth {

/// Writes random rows, finite and none like its neighbours, to matrices that were declared and whose own rows nobody
/// needs, because only the time of steps is of interest. `matrices` are all that the device has, in the order of their
/// numbers. The same rows every time. Errors: the device's.
Result<void> write_made_up_rows(Device& device, std::span<const MatrixSpec> matrices);

}  // namespace hearth
