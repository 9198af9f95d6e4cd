#pragma once

#include <cstdint>
#include <span>
#include <vector>

namespace hearth {

// What sampling asks of a row of logits, one value for each token of the vocabulary (up to 262,144 of them). Values
// that are NaN count as -infinity.

struct TokenLogit {
  int32_t token = 0;
  float logit = 0.0F;
};

/// Position of the largest value, the lowest one of equals; -1 when no value is above -infinity.
int32_t argmax(std::span<const float> logits);

/// Sum of exp((x - maximum) * scale); `maximum` is not below any x.
double exp_sum(std::span<const float> logits, float maximum, float scale);

/// The same, and each exp((x - maximum) * scale) in `weights`, which has the size of `logits`.
double exp_weights(std::span<const float> logits, float maximum, float scale, std::span<float> weights);

/// The first position whose running sum of `weights` exceeds `target`; the last positive one when none does.
int32_t position_of_sum(std::span<const float> weights, double target);

/// The `count` largest values in descending order, lower tokens first among equals; fewer when fewer are above
/// -infinity. O(vocabulary) for small counts: nothing but the result is sorted.
void select_top(std::span<const float> logits, size_t count, std::vector<TokenLogit>& top);

/// Appends all values that are at least `minimum`, in the order of tokens.
void select_above(std::span<const float> logits, float minimum, std::vector<TokenLogit>& selected);

}  // namespace hearth
