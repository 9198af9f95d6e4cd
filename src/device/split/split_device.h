#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "base/result.h"
#include "device/device.h"

namespace hearth {

/// A device and the decoder layers that it takes: from `first_layer` on, up to those of the next one.
struct SplitStage {
  std::unique_ptr<Device> device;
  uint32_t first_layer = 0;
};

/// One device made of several, each of which holds consecutive decoder layers with their KV cache: it declares a weight
/// where its layer runs, and cuts recordings there. `layers` is how many the decoder has. Errors: internal (stages that
/// are empty, not in order, or do not begin at layer 0).
Result<std::unique_ptr<Device>> make_split_device(std::vector<SplitStage> stages, uint32_t layers);

}  // namespace hearth
