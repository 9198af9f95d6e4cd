#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "device/device.h"
#include "device/vulkan/memory/weights.h"
#include "device/vulkan/paths/tuning.h"

namespace hearth::vulkan {

/// Operations of a recording that multiply matrices of one shape, whose tuning is one question.
struct TuningTarget {
  std::string shape;                 ///< matmul_shape
  std::string few_group;             ///< the field of Tuning that holds its FewTokensTuning
  std::vector<uint32_t> operations;  ///< of the recording, each with a matrix of its own
  Rows rows = Rows::tokens;          ///< of their inputs
  uint32_t most_tokens = 0;          ///< the largest bucket of rows that they can have
  uint64_t bytes = 0;                ///< of one matrix
  double work = 0;                   ///< floating-point operations for each token
};

/// In the order of the recording. The last layer's products, which only rows of logits reach, count where no other
/// layer has the shape.
std::vector<TuningTarget> tuning_targets(const Recording& recording, const Weights& weights,
                                         const ProgramLimits& limits, const Tuning& table);

}  // namespace hearth::vulkan
