#pragma once

#include "device/vulkan/bench/step.h"
#include "device/vulkan/recording/program.h"

namespace hearth::vulkan {

/// Times of a step's launches: sums over those of one shader for products of one shape.
void print_profile(VulkanProgram& program, const Step& step);

/// What the driver says of each pipeline of a step, compiled again for the purpose.
void print_statistics(VulkanProgram& program, const Step& step, uint32_t device);

/// What was measured, and what it is worth beside the table.
void print_choices(VulkanProgram& program);

}  // namespace hearth::vulkan
