#pragma once

#include <span>
#include <stop_token>

#include "base/progress.h"
#include "base/result.h"
#include "device/device.h"
#include "formats/checkpoint.h"
#include "model/weight_plan.h"

namespace hearth {

/// Reads all rows of `sources` with a few threads, in pieces of some MiB, and writes them to the device. Reports stage
/// "load" with bytes and layer, of `layers`. Errors: io, corrupt (non-finite scale), cancelled, and the device's.
Result<void> read_weights(const Checkpoint& checkpoint, std::span<const WeightPlan::Source> sources, Device& device,
                          int layers, ProgressSink& progress, const std::stop_token& stop);

}  // namespace hearth
