#pragma once

#include <cstddef>
#include <span>

namespace hearth {

/// Values that one entry of block_maxima stands for.
inline constexpr size_t kLogitBlock = 128;

/// maxima[b] = the largest of values[b * kLogitBlock ...], the last block being shorter; NaN counts as -infinity.
/// `maxima` has one entry for each block begun. In the widest vectors that the processor has.
void block_maxima(std::span<const float> values, std::span<float> maxima);

}  // namespace hearth
