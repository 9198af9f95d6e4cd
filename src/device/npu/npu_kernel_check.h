#pragma once

#include "base/result.h"
#include "device/npu/npu_kernels.h"
#include "device/npu/xrt/npu_runtime.h"

namespace hearth {

/// Runs a kernel twice on made-up matrices and compares what comes out, at some thousands of places all over C, with
/// sums in double of the same products. Errors: corrupt (it computes something else than its entry in kernels.json
/// says, or less exactly than bf16 allows), as NpuRuntime's.
Result<void> check_npu_kernel(NpuRuntime& runtime, const NpuKernel& kernel, const NpuKernelSpec& spec);

}  // namespace hearth
