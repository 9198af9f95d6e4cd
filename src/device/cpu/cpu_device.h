#pragma once

#include <cstdint>
#include <memory>

#include "base/result.h"
#include "device/cpu/product_offload.h"
#include "device/device.h"

namespace hearth {

/// Opens the processor as a device with `threads` threads (the caller of run included).
/// HEARTH_CPU_ISA=generic|avx2|avxvnni|avx512|avx512vnni in the environment takes that instruction set instead of the
/// best one. With an `offload`, products of prompts may be multiplied by that. Errors: invalid_argument (an unknown
/// name), unsupported (the processor lacks it).
Result<std::unique_ptr<Device>> open_cpu_device(uint32_t threads,
                                                std::unique_ptr<cpu::ProductOffload> offload = nullptr);

}  // namespace hearth
