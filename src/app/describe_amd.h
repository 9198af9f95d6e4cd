#pragma once

#include <nlohmann/json.hpp>
#include <vector>

#include "device/amdgpu/amdgpu_signs.h"
#include "device/npu/compare_npu.h"
#include "device/npu/npu_detection.h"

namespace hearth::app {

/// One object for each GPU that amdgpu drives, with the advice for it. What is unknown is null.
nlohmann::ordered_json describe_amd_gpus(const AmdSystem& system);

/// One object for each NPU. What is unknown is null.
nlohmann::ordered_json describe_npus(const std::vector<Npu>& npus);

/// How the NPU does beside the processor: "error", or "kernels", "products" and "no_energy".
nlohmann::ordered_json describe_npu_report(const Result<NpuReport>& report);

}  // namespace hearth::app
