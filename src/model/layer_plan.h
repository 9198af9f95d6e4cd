#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "base/result.h"

namespace hearth {

/// A device that may take layers: what it has, and what the model would take of it, in its own formats.
struct PlannedDevice {
  std::string name;
  bool is_gpu = false;
  uint64_t pool = 0;                   ///< devices of one pool draw on the same memory
  uint64_t usable_bytes = UINT64_MAX;  ///< of the pool, as far as this device may use it

  std::vector<uint64_t> layer_bytes;  ///< of each decoder layer: weights, and the KV cache that there must be
  uint64_t embedding_bytes = 0;       ///< where the first layer is
  uint64_t head_bytes = 0;            ///< where the last layer is, unless it is an embedding that is there already
  bool tied = false;                  ///< head and embedding are one matrix
  uint64_t step_bytes = 0;            ///< activations and whatever else steps need, where any layer is
  uint32_t whole_from = UINT32_MAX;   ///< this layer and all behind it go to one device, as later ones read its K and V

  /// Of `count` consecutive layers.
  uint64_t bytes_of(uint32_t first, uint32_t count) const;
};

/// How many consecutive layers each device takes, in the order of the devices; some take none.
using LayerPlan = std::vector<uint32_t>;

/// Shares out the layers. The processor takes as few as it can, GPUs share the rest in proportion to what they have;
/// where there is no GPU, the devices share all of them so. `gpu_layers` says how many layers GPUs take (all that there
/// are, if it is more).
/// Errors: out_of_memory (it fits nowhere, with the numbers and what would fit), invalid_argument (`gpu_layers` with
/// no GPU, with no processor for the rest, or where it parts layers that stay together).
Result<LayerPlan> plan_layers(std::span<const PlannedDevice> devices, std::optional<uint32_t> gpu_layers);

}  // namespace hearth
