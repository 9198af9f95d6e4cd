#pragma once

#include <cstdint>

#include "device/vulkan/recording/program.h"

namespace hearth::vulkan {

/// What tuning has done.
struct TuningReport {
  uint32_t shapes = 0;    ///< of matmuls that the program has
  uint32_t measured = 0;  ///< choices, each for a shape and a count of tokens
  uint32_t missing = 0;   ///< for which the time did not suffice
  double seconds = 0;
};

/// Measures, with the program's own matrices, how its matmuls run best where `kept` does not say it yet, and adds what
/// was found; the counts of tokens that matter most come first. Begins nothing new after `seconds`, which a pipeline
/// that takes long to compile may exceed. What loses is compiled aside and forgotten. Steps must not be in flight.
/// Errors: unsupported (no timestamps), out_of_memory, device_lost; what was measured before is in `kept`.
Result<TuningReport> tune_matmuls(const Gpu& gpu, VulkanProgram& program, double seconds, MeasuredTunings& kept);

}  // namespace hearth::vulkan
