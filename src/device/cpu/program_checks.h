#pragma once

#include "device/cpu/step_context.h"
#include "device/device.h"

namespace hearth::cpu {

/// Whether the operations fit together and the kernels can do them: ids, widths, head sizes.
/// Errors: unsupported, internal.
Result<void> check_recording(const Recording& recording, const CpuStorage& storage);

/// What some layer reads of a cache group: the positions of the last `window` (0 is all), or the state.
struct CacheReader {
  uint32_t group = 0;
  uint32_t window = 0;
  bool state = false;

  bool operator==(const CacheReader&) const = default;
};

/// Whether a step keeps the contract of step.h within the limits. `vocabulary` is the embedding's number of rows,
/// 0 where the program has none.
/// Errors: internal, as a step is built by hearth itself.
Result<void> check_step(const StepInput& input, const ProgramLimits& limits, const PagedCache& cache,
                        std::span<const CacheReader> readers, uint32_t vocabulary);

}  // namespace hearth::cpu
