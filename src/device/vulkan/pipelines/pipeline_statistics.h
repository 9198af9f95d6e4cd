#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>

#include "device/vulkan/gpu/gpu.h"

namespace hearth::vulkan {

/// What a driver says about a compiled compute pipeline (VK_KHR_pipeline_executable_properties).
struct ExecutableStatistics {
  uint32_t subgroup_size = 0;
  std::map<std::string, double, std::less<>> values;                ///< by the driver's names, such as "VGPRs"
  std::map<std::string, std::string, std::less<>> representations;  ///< by the driver's names, such as "Assembly"

  /// A value that the driver may not have; then nothing.
  std::optional<double> value(std::string_view name) const;
};

/// Of a pipeline that Pipelines made with `capture`. Errors: what the driver answers, named after the call.
Result<ExecutableStatistics> pipeline_statistics(const Gpu& gpu, VkPipeline pipeline);

}  // namespace hearth::vulkan
