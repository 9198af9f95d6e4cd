#pragma once

#include <cstdint>

namespace hearth::vulkan {

/// How many of `b` hold `a`.
constexpr uint32_t divide_up(uint32_t a, uint32_t b) { return (a + b - 1) / b; }

}  // namespace hearth::vulkan
