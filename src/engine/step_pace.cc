#include "engine/step_pace.h"

#include <algorithm>
#include <limits>

namespace hearth {
namespace {

constexpr double kNewest = 0.15;       // weight of the newest step in the means
constexpr double kOutlier = 4;         // a step is taken for at most that many times what was expected: another process
constexpr double kLeastVariance = 16;  // of tokens; below it the slope would be noise

}  // namespace

void StepPace::note(uint32_t prompt_tokens, double seconds) {
  if (prompt_tokens > most_) return;  // nobody waited beside it, and large steps are cheaper by the token
  const double tokens = prompt_tokens;
  const double base = seconds_ - slope_ * tokens_;
  if (slope_ > 0 && base > 0) seconds = std::min(seconds, kOutlier * (base + slope_ * tokens));
  const double weight = empty_ ? 1 : kNewest;
  empty_ = false;
  tokens_ += weight * (tokens - tokens_);
  seconds_ += weight * (seconds - seconds_);
  tokens_squared_ += weight * (tokens * tokens - tokens_squared_);
  tokens_seconds_ += weight * (tokens * seconds - tokens_seconds_);

  const double variance = tokens_squared_ - tokens_ * tokens_;
  const double covariance = tokens_seconds_ - tokens_ * seconds_;
  if (variance >= kLeastVariance && covariance > 0) slope_ = covariance / variance;
}

uint32_t StepPace::prompt_tokens() const {
  const uint32_t least = std::min(kLeast, most_);
  if (stretch_ == std::numeric_limits<double>::infinity()) return most_;
  // Before anything is known: few enough not to hurt, enough to learn from.
  if (slope_ == 0) return std::clamp(2 * kLeast, least, most_);
  const double base = std::max(seconds_ - slope_ * tokens_, 0.0);
  const double tokens = std::min((stretch_ - 1) * base / slope_, static_cast<double>(most_));
  return std::max(static_cast<uint32_t>(tokens) / kLeast * kLeast, least);
}

}  // namespace hearth
