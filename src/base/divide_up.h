#pragma once

#include <cstdint>

namespace hearth {

/// a / b, rounded up.
constexpr uint64_t divide_up(uint64_t a, uint64_t b) { return (a + b - 1) / b; }

}  // namespace hearth
