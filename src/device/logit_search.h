#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "device/step.h"

namespace hearth {

// The largest values of a row of logits in host memory, one value for each token of the vocabulary (up to 262,208 of
// them). Values that are NaN count as -infinity.

/// Position of the largest value, the lowest one of equals; -1 when no value is above -infinity.
int32_t argmax(std::span<const float> logits);

/// The `count` largest values in descending order, lower tokens first among equals; fewer when fewer are above
/// -infinity. O(vocabulary) for small counts: nothing but the result is sorted.
void select_top(std::span<const float> logits, size_t count, std::vector<TokenLogit>& top);

/// Appends all values that are at least `minimum`, in the order of tokens.
void select_above(std::span<const float> logits, float minimum, std::vector<TokenLogit>& selected);

/// As select_top, into as many places as `best` has; token -1 fills up those that are left.
void best_candidates(std::span<const float> logits, std::span<TokenLogit> best);

}  // namespace hearth
