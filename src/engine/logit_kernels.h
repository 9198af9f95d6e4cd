#pragma once

#include <cstddef>
#include <span>

namespace hearth {

// The two passes over a row of logits that sampling needs, in the widest vectors that the processor has.

/// Values that one entry of block_maxima stands for.
inline constexpr size_t kLogitBlock = 128;

/// maxima[b] = the largest of values[b * kLogitBlock ...], the last block being shorter; NaN counts as -infinity.
/// `maxima` has one entry for each block begun.
void block_maxima(std::span<const float> values, std::span<float> maxima);

/// Sum of exp((x - maximum) * scale) over `logits`, none of which is above `maximum`; each of the terms in `terms`,
/// unless that is null. NaN and -infinity give 0.
double sum_exponentials(std::span<const float> logits, float maximum, float scale, float* terms);

}  // namespace hearth
