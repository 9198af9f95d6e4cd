#pragma once

#include <vector>

#include "device/vulkan/gpu/gpu.h"
#include "device/vulkan/pipelines/pipelines.h"

namespace hearth::vulkan {

/// The layouts of the device's matrices of f16 with sums in f32, as far as they are regular; empty without such
/// matrices. Takes one small submit for each shape. Errors: of the driver.
Result<std::vector<FragmentLayout>> learn_fragments(Gpu& gpu, Pipelines& pipelines);

}  // namespace hearth::vulkan
