#include "engine/sampling/sampler.h"

#include <algorithm>
#include <cmath>
#include <iterator>
#include <limits>

#include "device/logit_search.h"
#include "engine/sampling/random.h"
#include "engine/sampling/vocabulary_math.h"

namespace hearth {
namespace {

std::unexpected<Error> no_finite_logits() {
  return fail(ErrorCode::internal, "the model gave no finite logits", "the weights may be damaged");
}

/// Logits below this are dropped.
float least_logit(const SamplingParams& params, float maximum) {
  if (params.min_p <= 0.0F) return -std::numeric_limits<float>::infinity();
  return maximum + params.temperature * std::log(params.min_p);
}

}  // namespace

SamplingState::SamplingState(SamplingParams params, uint64_t seed, std::span<const int32_t> prompt)
    : params_(std::move(params)), seed_(params_.seed.value_or(seed)) {
  const bool repetition = params_.repetition_penalty != 1.0F;
  penalises_ = repetition || params_.presence_penalty != 0.0F || params_.frequency_penalty != 0.0F;
  if (!repetition) return;
  for (const int32_t token : prompt) seen(token);
}

SamplingState::SeenToken& SamplingState::seen(int32_t token) {
  const auto [entry, is_new] = seen_index_.try_emplace(token, static_cast<uint32_t>(seen_.size()));
  if (is_new) seen_.push_back({token, 0});
  return seen_[entry->second];
}

void SamplingState::record(int32_t token) {
  ++generated_;
  if (penalises_) ++seen(token).times_generated;
}

void SamplingState::change_logits(std::span<float> logits) const {
  for (const auto& [token, bias] : params_.logit_bias) logits[token] += bias;
  for (const auto& [token, times] : seen_) {
    float& logit = logits[token];
    logit = logit > 0 ? logit / params_.repetition_penalty : logit * params_.repetition_penalty;
    if (times == 0) continue;
    logit -= params_.frequency_penalty * static_cast<float>(times) + params_.presence_penalty;
  }
}

Result<int32_t> Sampler::sample(const SamplingState& state, std::span<const float> logits,
                                std::span<const int32_t> banned) {
  if (state.changes_logits() || !banned.empty()) {
    changed_.assign(logits.begin(), logits.end());
    state.change_logits(changed_);
    for (const int32_t token : banned) changed_[token] = -std::numeric_limits<float>::infinity();
    logits = changed_;
  }
  const int32_t best = argmax(logits);
  if (best < 0 || !std::isfinite(logits[best])) return no_finite_logits();
  if (state.is_greedy()) return best;
  const SamplingParams& params = state.params();
  const bool keeps_all = params.top_k == 0 && params.top_p >= 1.0F && params.min_p <= 0.0F;
  if (keeps_all) return draw_from_all(state, logits, logits[best]);
  select_candidates(params, logits, logits[best]);
  return draw_from_candidates(state, logits[best]);
}

uint32_t Sampler::candidates_needed(const SamplingState& state, size_t banned) {
  if (state.changes_logits() || (!state.is_greedy() && state.params().top_k == 0)) return 0;
  const size_t needed = (state.is_greedy() ? 1 : size_t{state.params().top_k}) + banned;
  return needed <= kMaxCandidates ? static_cast<uint32_t>(needed) : 0;
}

Result<int32_t> Sampler::sample(const SamplingState& state, std::span<const TokenLogit> candidates,
                                std::span<const int32_t> banned) {
  candidates_.clear();
  std::ranges::copy_if(candidates, std::back_inserter(candidates_), [&](const TokenLogit& candidate) {
    return candidate.token >= 0 && std::ranges::find(banned, candidate.token) == banned.end();
  });
  if (candidates_.empty() || !std::isfinite(candidates_.front().logit)) return no_finite_logits();
  const TokenLogit best = candidates_.front();
  if (state.is_greedy()) return best.token;
  candidates_.resize(std::min<size_t>(candidates_.size(), state.params().top_k));
  const float least = least_logit(state.params(), best.logit);
  std::erase_if(candidates_, [&](const TokenLogit& candidate) { return candidate.logit < least; });
  return draw_from_candidates(state, best.logit);
}

int32_t Sampler::draw_from_all(const SamplingState& state, std::span<const float> logits, float maximum) {
  weights_.resize(logits.size());
  const double total = exp_weights(logits, maximum, 1.0F / state.params().temperature, weights_);
  return position_of_sum(weights_, uniform(state.seed(), state.generated()) * total);
}

void Sampler::select_candidates(const SamplingParams& params, std::span<const float> logits, float maximum) {
  const float least = least_logit(params, maximum);
  if (params.top_k > 0) {
    select_top(logits, params.top_k, candidates_);
    std::erase_if(candidates_, [&](const TokenLogit& candidate) { return candidate.logit < least; });
  } else if (params.min_p > 0.0F) {
    candidates_.clear();
    select_above(logits, least, candidates_);
    if (params.top_p < 1.0F) std::ranges::stable_sort(candidates_, std::greater{}, &TokenLogit::logit);
  } else {
    select_nucleus(params, logits, maximum);
  }
}

int32_t Sampler::draw_from_candidates(const SamplingState& state, float maximum) {
  const SamplingParams& params = state.params();
  double total = 0;
  weights_.resize(candidates_.size());
  for (size_t i = 0; i < candidates_.size(); ++i) {
    weights_[i] = std::exp((candidates_[i].logit - maximum) / params.temperature);
    total += weights_[i];
  }
  const bool already_cut = params.top_k == 0 && params.min_p <= 0.0F;
  if (params.top_p < 1.0F && !already_cut) {
    cut_to_nucleus(params.top_p, total);
    total = 0;
    for (const float weight : weights_) total += weight;
  }
  const int32_t position = position_of_sum(weights_, uniform(state.seed(), state.generated()) * total);
  return candidates_[position].token;
}

void Sampler::select_nucleus(const SamplingParams& params, std::span<const float> logits, float maximum) {
  const double total = exp_sum(logits, maximum, 1.0F / params.temperature);
  // The nucleus is almost always small, so look for it among few tokens before looking among many.
  for (size_t count = 64;; count *= 8) {
    select_top(logits, count, candidates_);
    double sum = 0;
    for (size_t i = 0; i < candidates_.size(); ++i) {
      sum += std::exp((candidates_[i].logit - maximum) / params.temperature);
      if (sum < params.top_p * total) continue;
      candidates_.resize(i + 1);
      return;
    }
    if (candidates_.size() < count) return;
  }
}

void Sampler::cut_to_nucleus(float top_p, double total) {
  double sum = 0;
  size_t kept = 0;
  while (kept < weights_.size() && sum < top_p * total) sum += weights_[kept++];
  weights_.resize(std::max<size_t>(kept, 1));
  candidates_.resize(weights_.size());
}

TokenLogprobs Sampler::logprobs(std::span<const float> logits, int32_t chosen, uint32_t alternatives) {
  const int32_t best = argmax(logits);
  TokenLogprobs result{.chosen = {.token = chosen}};
  if (best < 0) return result;
  const double log_total = logits[best] + std::log(exp_sum(logits, logits[best], 1.0F));
  result.chosen.logprob = static_cast<float>(logits[chosen] - log_total);
  select_top(logits, alternatives, candidates_);
  for (const auto& [token, logit] : candidates_) result.top.push_back({token, static_cast<float>(logit - log_total)});
  return result;
}

}  // namespace hearth
