#include "engine/step_cost.h"

#include <algorithm>

namespace hearth {
namespace {

constexpr double kNewest = 0.1;           // least weight of the newest step in the mean of its size
constexpr double kProductsNewest = 0.02;  // the same in the means of products
constexpr double kOutlier = 3;            // a step counts for at most that many times what its size took before
constexpr double kFirstOutlier = 1.5;     // and the first one of a size for that many times what was expected at most
// The first steps of a size may have been cold: pipelines were made, memory was touched, clocks were low.
constexpr uint32_t kSettledSteps = 4;
constexpr double kMuchQuicker = 0.8;          // of the mean; then the steps before were cold
constexpr double kMostOff = 0.5;              // of a size's mean that one step's difference counts for
constexpr uint64_t kForgottenAfter = 4000;    // steps
constexpr uint64_t kUnsettledForgotten = 64;  // steps, where there were few
constexpr double kLeastPlainShare = 0.25;     // of a size's mean that does not depend on anything but the size

/// Fine where steps are small, multiples of 64 where they are large: the tiles of GPUs end there.
std::vector<uint32_t> step_sizes(uint32_t most) {
  std::vector<uint32_t> sizes;
  for (uint32_t size = 1; size < most;) {
    sizes.push_back(size);
    size += size < 4 ? 1 : size < 16 ? 2 : size < 32 ? 4 : size < 64 ? 8 : size < 128 ? 16 : size < 256 ? 32 : 64;
  }
  sizes.push_back(std::max(most, 1U));
  return sizes;
}

}  // namespace

StepCost::StepCost(uint32_t most_tokens) : sizes_(step_sizes(most_tokens)), known_(sizes_.size()) {}

void StepCost::expect(std::span<const double> seconds) {
  for (size_t i = 0; i < std::min(seconds.size(), known_.size()); ++i) known_[i].expected = seconds[i];
}

StepCost::Factors StepCost::factors_of(const StepLoad& load) {
  return {static_cast<double>(load.decoding), load.decode_context, load.prompt_context};
}

size_t StepCost::index_of(uint32_t tokens) const {
  const auto at = std::ranges::lower_bound(sizes_, tokens);
  return at == sizes_.end() ? sizes_.size() - 1 : static_cast<size_t>(at - sizes_.begin());
}

bool StepCost::is_known(const Size& size) const {
  const uint64_t after = size.steps < kSettledSteps ? kUnsettledForgotten : kForgottenAfter;
  return size.steps > 0 && steps_ - size.last_step < after;
}

double StepCost::weighted(const Factors& factors) const {
  double sum = 0;
  for (size_t i = 0; i < kFactors; ++i) sum += weights_[i] * factors[i];
  return sum;
}

double StepCost::plain_seconds(const Size& size) const {
  return std::max(size.seconds - weighted(size.factors), kLeastPlainShare * size.seconds);
}

void StepCost::note(const StepLoad& load, double seconds) {
  if (load.tokens == 0 || load.tokens > sizes_.back()) return;
  Size& size = known_[index_of(load.tokens)];
  if (!is_known(size)) size.steps = 0;
  if (const auto expected = estimate(load)) {
    seconds = std::min(seconds, (size.steps == 0 ? kFirstOutlier : kOutlier) * expected->at_most);
  }
  ++steps_;
  size.last_step = steps_;
  const Factors factors = factors_of(load);
  const double share = std::max(1.0 / ++size.steps, kNewest);
  if (size.steps == 1 || (size.steps <= kSettledSteps && seconds < kMuchQuicker * size.seconds)) {
    size.seconds = seconds;
    size.factors = factors;
    return;
  }
  Factors factors_off;
  for (size_t i = 0; i < kFactors; ++i) factors_off[i] = factors[i] - size.factors[i];
  const double most_off = kMostOff * size.seconds;
  const double seconds_off = std::clamp(seconds - size.seconds, -most_off, most_off);
  if (size.steps > kSettledSteps) learn_weights(factors_off, seconds_off, 1 - share);
  size.seconds += share * seconds_off;
  for (size_t i = 0; i < kFactors; ++i) size.factors[i] += share * factors_off[i];
}

/// Least squares, where no weight is negative: one factor after another, the others as they are, a few times over.
void StepCost::learn_weights(const Factors& factors_off, double seconds_off, double share) {
  for (size_t i = 0; i < kFactors; ++i) {
    for (size_t j = 0; j < kFactors; ++j) {
      factor_products_[i][j] += kProductsNewest * (share * factors_off[i] * factors_off[j] - factor_products_[i][j]);
    }
    time_products_[i] += kProductsNewest * (share * factors_off[i] * seconds_off - time_products_[i]);
  }
  constexpr int kRounds = 8;
  constexpr double kRidge = 1.01;  // of two factors that only move together, neither takes all
  for (int round = 0; round < kRounds; ++round) {
    for (size_t i = 0; i < kFactors; ++i) {
      double rest = time_products_[i];
      for (size_t j = 0; j < kFactors; ++j) rest -= j == i ? 0 : factor_products_[i][j] * weights_[j];
      const double own = kRidge * factor_products_[i][i];
      weights_[i] = own > 0 ? std::max(rest / own, 0.0) : 0;
    }
  }
}

/// Of a size above the largest one that is known.
StepCost::Estimate StepCost::beyond(size_t largest, size_t index) const {
  const double seconds = plain_seconds(known_[largest]);
  const double at_most = seconds * sizes_[index] / sizes_[largest];
  size_t smaller = largest;
  while (smaller > 0 && (sizes_[smaller] * 2 > sizes_[largest] || !is_known(known_[smaller]))) --smaller;
  if (smaller == largest || !is_known(known_[smaller])) return {seconds, at_most};
  const double each = (seconds - plain_seconds(known_[smaller])) / (sizes_[largest] - sizes_[smaller]);
  return {std::min(seconds + std::max(each, 0.0) * (sizes_[index] - sizes_[largest]), at_most), at_most};
}

std::optional<StepCost::Estimate> StepCost::plain_estimate(size_t index) const {
  const auto same = [](double seconds) { return Estimate{seconds, seconds}; };
  if (is_known(known_[index])) return same(plain_seconds(known_[index]));
  size_t below = index, above = index;
  while (below > 0 && !is_known(known_[below])) --below;
  while (above + 1 < known_.size() && !is_known(known_[above])) ++above;
  const bool has_below = is_known(known_[below]), has_above = is_known(known_[above]);
  const double expected = known_[index].expected;
  if (!has_below && !has_above) return expected > 0 ? std::optional(same(expected)) : std::nullopt;

  // In proportion to what the device expected, or else to nothing but the size.
  const auto ratio = [&](size_t i) { return plain_seconds(known_[i]) / (expected > 0 ? known_[i].expected : 1); };
  const double unit = expected > 0 ? expected : 1;
  if (!has_below) return same(unit * ratio(above));
  if (!has_above) return expected > 0 ? same(unit * ratio(below)) : beyond(below, index);
  const double way = static_cast<double>(sizes_[index] - sizes_[below]) / (sizes_[above] - sizes_[below]);
  return same(unit * (ratio(below) + way * (ratio(above) - ratio(below))));
}

std::optional<StepCost::Estimate> StepCost::estimate(const StepLoad& load) const {
  auto estimate = plain_estimate(index_of(load.tokens));
  if (!estimate) return estimate;
  const double more = weighted(factors_of(load));
  return Estimate{estimate->likely + more, estimate->at_most + more};
}

double StepCost::seconds_per_prompt_token() const {
  double least = 0;
  for (size_t i = 0; i < sizes_.size(); ++i) {
    const auto estimate = plain_estimate(i);
    if (!estimate) continue;
    const double each = estimate->at_most / sizes_[i];
    least = least == 0 ? each : std::min(least, each);
  }
  return least;
}

}  // namespace hearth
