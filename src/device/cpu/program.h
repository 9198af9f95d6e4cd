#pragma once

#include <memory>

#include "device/cpu/step_context.h"
#include "device/device.h"

namespace hearth::cpu {

/// Turns a recording into calls. `storage` must outlive the program and not change after this, but for rows that
/// `weights_arrive` says are still being written.
/// Errors: unsupported (shapes that the kernels cannot do), internal (ids that do not exist), out_of_memory.
Result<std::unique_ptr<Program>> compile_program(const Recording& recording, const ProgramLimits& limits,
                                                 bool weights_arrive, const CpuStorage& storage);

/// Bytes that its activations and scratch would take; of `storage` only the shapes of matrices count.
uint64_t planned_bytes(const Recording& recording, const ProgramLimits& limits, const CpuStorage& storage);

}  // namespace hearth::cpu
