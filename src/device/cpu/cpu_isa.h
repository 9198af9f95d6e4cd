#pragma once

#include <string>
#include <vector>

#include "base/result.h"
#include "device/cpu/kernels/kernels.h"

namespace hearth::cpu {

/// The kernels of every instruction set that this processor and its operating system run, best first.
std::vector<const Kernels*> available_kernels();

/// The best ones, or those that HEARTH_CPU_ISA names. Errors: invalid_argument (unknown name), unsupported.
Result<const Kernels*> choose_kernels();

/// "AMD EPYC 9B14" or what the system calls it; empty when unknown.
std::string processor_name();

}  // namespace hearth::cpu
