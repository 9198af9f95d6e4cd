#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "device/device.h"

namespace hearth::vulkan {

/// `sequences` sequences of `each` tokens behind `context` tokens.
struct Step {
  Step(uint32_t sequences, uint32_t each, uint32_t context);
  StepInput input() const { return {ids, inputs, logit_rows, candidates}; }

  std::vector<int32_t> ids;
  std::vector<std::vector<int32_t>> tables;
  std::vector<std::vector<std::span<const int32_t>>> views;
  std::vector<SequenceInput> inputs;
  std::vector<uint32_t> logit_rows, candidates;  ///< greedy
};

/// Runs until the clock is up, then the median of `repeat` runs.
double seconds_of_step(Program& program, const Step& step, uint32_t repeat);

}  // namespace hearth::vulkan
