#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "device/device.h"

namespace hearth {

/// What an operation of a step is called, and what it cannot do without reading.
struct OperationCost {
  std::string name;    ///< kind and shape, such as "linear 576 to 960"; operations alike have one name
  uint64_t bytes = 0;  ///< weights and cached K and V in the device's formats, activations as float32
};

/// For each operation of the recording, in its order. A matrix counts once however many rows are multiplied with it,
/// and a sequence's K and V once in each layer however many of its tokens read them.
std::vector<OperationCost> operation_costs(const Recording& recording, const Device& device, const StepInput& input);

}  // namespace hearth
