#include "engine/step_size.h"

#include <algorithm>
#include <vector>

namespace hearth {
namespace {

constexpr double kPromptShare = 1.0 / 3;     // of the time, for prompts beside answers, whatever the target
constexpr double kNewcomersPatience = 4;     // targets
constexpr double kDearSteps = 0.9;           // of the best speed; smaller steps than that would waste too much
constexpr double kUncertain = 2;             // at most by likely seconds
constexpr double kEquallyGood = 0.97;        // of the best speed
constexpr double kGoodBesideAnswers = 0.93;  // the same while answers wait for the step

/// A step with so many tokens of prompts.
struct Candidate {
  uint32_t prompt_tokens = 0;
  double likely = 0;   ///< seconds
  double at_most = 0;  ///< seconds
  double speed = 0;    ///< tokens/s, likely
};

std::vector<Candidate> candidates_of(const StepCost& cost, const StepOutlook& outlook, uint32_t most) {
  std::vector<Candidate> candidates;
  const uint32_t decoding = outlook.decoding.tokens;
  for (const uint32_t size : cost.sizes()) {
    if (size <= decoding) continue;
    const uint32_t tokens = std::min({size - decoding, outlook.prompt_tokens, most - decoding});
    StepLoad load = outlook.decoding;
    load.add_prompt(outlook.prompt_context, tokens);
    const auto estimate = cost.estimate(load);
    if (!estimate) return {};
    candidates.push_back({tokens, estimate->likely, estimate->at_most, load.tokens / estimate->likely});
    if (tokens < size - decoding || tokens == outlook.prompt_tokens) break;
  }
  return candidates;
}

}  // namespace

double StepSize::limit_seconds(const StepCost& cost, const StepOutlook& outlook) const {
  if (outlook.decoding.tokens == 0) return kNewcomersPatience * target_;
  const auto alone = cost.estimate(outlook.decoding);
  return std::max(target_, alone ? alone->likely / (1 - kPromptShare) : 0);
}

uint32_t StepSize::prompt_tokens(const StepCost& cost, const StepOutlook& outlook) const {
  const uint32_t decoding = outlook.decoding.tokens;
  const uint32_t possible = std::min(outlook.prompt_tokens, most_ - std::min(most_, decoding));
  if (target_ == 0 || outlook.is_alone || possible <= kLeast) return possible;
  const std::vector<Candidate> candidates = candidates_of(cost, outlook, most_);
  if (candidates.empty()) return std::min(possible, kFirst);

  const double limit = limit_seconds(cost, outlook);
  const double fastest = std::ranges::max(candidates, {}, &Candidate::speed).speed;
  // While nobody's answer is being written, steps need not be smaller than the first that is about as good as any; but
  // what that costs is found out by doubling.
  bool is_dear = decoding == 0;
  std::vector<Candidate> allowed;
  for (const Candidate& candidate : candidates) {
    const bool is_known_enough = candidate.at_most <= kUncertain * candidate.likely;
    if (candidate.at_most <= limit || (is_dear && is_known_enough)) allowed.push_back(candidate);
    is_dear = is_dear && candidate.speed < kDearSteps * fastest;
  }
  if (allowed.empty()) return kLeast;
  const double best = std::ranges::max(allowed, {}, &Candidate::speed).speed;
  const double good = (decoding > 0 ? kGoodBesideAnswers : kEquallyGood) * best;
  const auto is_good = [&](const Candidate& candidate) { return candidate.speed >= good; };
  return std::clamp(std::ranges::find_if(allowed, is_good)->prompt_tokens, kLeast, possible);
}

}  // namespace hearth
