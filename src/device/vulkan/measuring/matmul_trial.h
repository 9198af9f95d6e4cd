#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "device/vulkan/paths/tuning.h"
#include "device/vulkan/recording/command_recorder.h"
#include "device/vulkan/recording/timestamps.h"

namespace hearth::vulkan {

/// A way to run matmuls of one shape, to be timed.
struct MatmulTrial {
  std::vector<uint32_t> operations;  ///< of the recording: the same shape with different matrices
  uint32_t tokens = 1;               ///< rows of their inputs; a bucket within the program's limits
  Tuning tuning;
};

/// What came of a trial.
struct TrialTime {
  double seconds = 0;  ///< of one operation
  bool agrees = true;  ///< whether the first trial beside it has the same result
};

/// Values of a result as the host reads them, and how exact each is: results that are kept as bytes may differ by one.
struct MatmulResult {
  std::vector<float> values;
  std::vector<float> steps;  ///< for each 32 values; empty for floats, which are exact but for the order of sums
};

/// From float32 values, or from bytes with a pair of (scale, scaled sum) for each 32 of them.
MatmulResult result_of_floats(std::span<const float> floats);
MatmulResult result_of_bytes(std::span<const int8_t> bytes, std::span<const float> pairs);

/// Whether they differ by no more than another order of sums explains. One wrong value in a million is seen.
bool agree(const MatmulResult& a, const MatmulResult& b);

}  // namespace hearth::vulkan
