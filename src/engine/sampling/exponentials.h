#pragma once

#include <cstddef>
#include <span>

namespace hearth {

/// Values whose exponentials are added up in float before the sum goes on in double.
inline constexpr size_t kSumBlock = 128;

/// Sum of exp((x - maximum) * scale) over `logits`, none of which is above `maximum`; each of the terms in `terms`,
/// unless that is null. NaN and -infinity give 0. In the widest vectors that the processor has.
double sum_exponentials(std::span<const float> logits, float maximum, float scale, float* terms);

}  // namespace hearth
