#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "app/model_plan.h"
#include "app/open_model.h"
#include "base/result.h"

namespace hearth::app {

/// How many tokens a second a model will make.
struct PredictedSpeed {
  static constexpr uint32_t kShortContext = 128;
  enum class Basis : uint8_t {
    measured,  ///< a part of the model, with random weights, ran on the device
    limits,    ///< what the device's memory and matrix units allow: no device is quicker, most are slower
  };
  struct Decoding {
    uint32_t sequences = 0;
    double tokens_per_second = 0;      ///< of all together, each behind kShortContext tokens
    std::vector<double> behind_rooms;  ///< likewise, each behind the tokens of one of the plan's rooms, if it has room
  };
  Basis basis = Basis::limits;
  double bandwidth_gb_per_second = 0;  ///< of reading memory; 0 where nobody knows
  double teraflops = 0;                ///< where a limit was made of it
  std::vector<Decoding> decoding;
  double prompt_tokens_per_second = 0;  ///< 0 where nobody knows
};

/// From steps of some layers and of what all layers share, timed on the device that the options name, which is opened
/// again for it: a second or some. Errors: as open_device and Model::declare; unsupported where layers are shared out
/// over several devices.
Result<PredictedSpeed> measure_speed(const Checkpoint& checkpoint, const DeviceOptions& options, const ModelPlan& plan);

/// From what the plan reads and multiplies, and what the device's memory and matrix units are known to reach.
PredictedSpeed limit_of_speed(const ModelPlan& plan);

}  // namespace hearth::app
