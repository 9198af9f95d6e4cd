#pragma once

#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "base/result.h"
#include "device/device.h"
#include "formats/checkpoint.h"
#include "model/layer_cut.h"
#include "model/layer_plan.h"

namespace hearth {

/// What must have room beside the weights.
struct PlaceOptions {
  std::optional<uint32_t> gpu_layers;          ///< nothing lets the memory decide
  LayerCut cut = {};                           ///< as LoadOptions
  uint32_t context_tokens = 0;                 ///< of a sequence; 0 is the model's own, 4096 at most
  uint32_t sequences = 1;                      ///< that have room at once
  std::optional<uint64_t> reserve_bytes = {};  ///< of each memory, for other programs (usable_bytes)
  ProgramLimits limits = {.tokens = 512, .logit_rows = 64, .sequences = 64};
};

/// Which of the devices takes how many layers of a checkpoint's decoder (plan_layers), by the memory that is free now.
/// Errors: as describe_decoder and plan_layers; unsupported (a device cannot hold one of the matrices).
Result<LayerPlan> plan_layers_of(const Checkpoint& checkpoint, std::span<const std::unique_ptr<Device>> devices,
                                 const PlaceOptions& options);

/// One device of those that take layers. Devices that take none are closed.
Result<std::unique_ptr<Device>> join_devices(std::vector<std::unique_ptr<Device>> devices, const LayerPlan& plan);

}  // namespace hearth
