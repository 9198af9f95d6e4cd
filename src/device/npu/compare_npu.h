#pragma once

#include <optional>
#include <string>
#include <vector>

#include "device/npu/npu_device.h"

namespace hearth {

/// How an NPU does beside the processor, measured now.
struct NpuReport {
  std::vector<std::string> kernels;        ///< "512 x 512 x 512 bf16 to f32"
  std::vector<NpuComparison> comparisons;  ///< of one product as larger models have them, for each count of tokens
  std::optional<std::string> no_energy;    ///< why energy was not compared
};

/// Opens the NPU as open_npu_device does and compares it with the processor by a product of made-up q4_0 weights, 4096
/// to 4096: a second or some. `options.prefer` does not matter. Errors: as open_npu_device, and what ended the
/// comparison.
Result<NpuReport> compare_npu(NpuOptions options, uint32_t threads);

}  // namespace hearth
