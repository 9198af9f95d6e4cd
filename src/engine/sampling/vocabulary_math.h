#pragma once

#include <cstdint>
#include <span>

namespace hearth {

// The exponentials that sampling asks of a row of logits. Values that are NaN count as -infinity.

/// Sum of exp((x - maximum) * scale); `maximum` is not below any x.
double exp_sum(std::span<const float> logits, float maximum, float scale);

/// The same, and each exp((x - maximum) * scale) in `weights`, which has the size of `logits`.
double exp_weights(std::span<const float> logits, float maximum, float scale, std::span<float> weights);

/// The first position whose running sum of `weights` exceeds `target`; the last positive one when none does.
int32_t position_of_sum(std::span<const float> weights, double target);

}  // namespace hearth
