#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/result.h"
#include "device/device.h"
#include "engine/engine_plan.h"
#include "formats/checkpoint.h"
#include "model/layer_cut.h"
#include "model/weight_use.h"

namespace hearth::app {

/// What serving a model takes in one memory.
struct PlannedMemory {
  DeviceMemory memory;        ///< as it is before anything is allocated
  uint64_t usable_bytes = 0;  ///< of what is free; UINT64_MAX where nobody knows
  uint32_t layers = 0;        ///< decoder layers whose weights and cache lie here
  WeightUse weights;
  uint64_t cache_bytes = 0;
  uint64_t activation_bytes = 0;

  uint64_t total_bytes() const { return weights.total() + cache_bytes + activation_bytes; }
};

/// How many sequences have room at once with their whole K and V, if all are so long.
struct Room {
  uint32_t tokens = 0;
  uint32_t sequences = 0;
  double bytes_read = 0;  ///< of the cache, by the next token of one of them
};

/// What serving a model takes and gives, before anything is allocated.
struct ModelPlan {
  std::string device, device_description;
  std::vector<PlannedMemory> memories;
  uint64_t staging_bytes = 0;  ///< of the host's memory, or of memory that the host sees
  EnginePlan engine;
  uint32_t layers = 0;
  uint32_t model_context = 0;          ///< that it was made for
  uint64_t bytes_of_token = 0;         ///< of K and V, of one more token behind every window
  uint64_t weight_bytes_read = 0;      ///< by a step of one token
  uint64_t products_per_token = 0;     ///< of a weight and a number
  double chosen_experts = 0;           ///< the part of all experts that a token chooses
  std::string device_kind;             ///< DeviceInfo::kind
  bool is_split = false;               ///< over several devices
  double bandwidth_gb_per_second = 0;  ///< that a device which is not here is said to reach; else 0
  double teraflops = 0;                ///< likewise, of products of f16
  double short_bytes_read = 0;         ///< as Room::bytes_read, behind PredictedSpeed::kShortContext tokens
  std::vector<Room> rooms;             ///< shortest context first, the plan's own last
};

/// The plan that serve carries out with these options: devices are chosen and opened, weights are declared on them and
/// vectors read, as when a model is loaded, but nothing of the model is allocated. Errors: as open_device_for,
/// Model::declare and plan_engine.
Result<ModelPlan> plan_model(const Checkpoint& checkpoint, std::unique_ptr<Device> device, const EngineOptions& options,
                             const LayerCut& cut);

}  // namespace hearth::app
