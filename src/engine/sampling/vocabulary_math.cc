#include "engine/sampling/vocabulary_math.h"

#include <array>

#include "engine/sampling/exponentials.h"

namespace hearth {

double exp_sum(std::span<const float> logits, float maximum, float scale) {
  return sum_exponentials(logits, maximum, scale, nullptr);
}

double exp_weights(std::span<const float> logits, float maximum, float scale, std::span<float> weights) {
  return sum_exponentials(logits, maximum, scale, weights.data());
}

int32_t position_of_sum(std::span<const float> weights, double target) {
  // Sixteen running sums, which the compiler may keep in vectors without reordering any addition.
  constexpr size_t kLanes = 16;
  double before = 0;
  size_t at = 0;
  for (; at + kSumBlock <= weights.size(); at += kSumBlock) {
    std::array<float, kLanes> lanes{};
    for (size_t i = at; i < at + kSumBlock; i += kLanes) {
      for (size_t lane = 0; lane < kLanes; ++lane) lanes[lane] += weights[i + lane];
    }
    double sum = 0;
    for (const float lane : lanes) sum += lane;
    if (before + sum > target) break;
    before += sum;
  }
  // From here on one by one: rounding may put the crossing a little behind the block.
  for (; at < weights.size(); ++at) {
    before += weights[at];
    if (before > target && weights[at] > 0) return static_cast<int32_t>(at);
  }
  at = weights.size();
  while (at > 0 && !(weights[at - 1] > 0)) --at;
  return static_cast<int32_t>(at) - 1;
}

}  // namespace hearth
