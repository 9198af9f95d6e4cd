#pragma once

#include <cstdint>
#include <span>
#include <unordered_map>
#include <vector>

#include "base/result.h"
#include "device/step.h"
#include "engine/request.h"

namespace hearth {

/// What the choice of a sequence's next token depends on beside the logits: parameters, seed and the tokens so far.
class SamplingState {
 public:
  /// `seed` is used where the parameters have none.
  SamplingState(SamplingParams params, uint64_t seed, std::span<const int32_t> prompt);

  /// Tells of a generated token.
  void record(int32_t token);

  const SamplingParams& params() const { return params_; }
  uint64_t seed() const { return seed_; }
  uint32_t generated() const { return generated_; }  ///< tokens recorded
  bool is_greedy() const { return params_.temperature < 1e-5F; }

  /// True when bias or penalties change the logits.
  bool changes_logits() const { return !params_.logit_bias.empty() || penalises_; }
  void change_logits(std::span<float> logits) const;

 private:
  struct SeenToken {
    int32_t token = 0;
    uint32_t times_generated = 0;
  };

  SeenToken& seen(int32_t token);

  SamplingParams params_;
  uint64_t seed_ = 0;
  uint32_t generated_ = 0;
  bool penalises_ = false;
  std::vector<SeenToken> seen_;  ///< distinct tokens of the output, and of the prompt for the repetition penalty
  std::unordered_map<int32_t, uint32_t> seen_index_;
};

/// Chooses tokens. Keeps memory for one row of logits between calls, nothing else. For one thread.
///
/// The order is that of vLLM: bias, penalties, temperature, min_p, top_k, top_p over what is left, and a draw by the
/// number that seed and count of generated tokens give.
class Sampler {
 public:
  /// The next token after logits [vocabulary]; never one of `banned`. Errors: internal when no logit is a finite
  /// number.
  Result<int32_t> sample(const SamplingState& state, std::span<const float> logits, std::span<const int32_t> banned);

  /// The same choice from a row's best candidates, candidates_needed() of them.
  Result<int32_t> sample(const SamplingState& state, std::span<const TokenLogit> candidates,
                         std::span<const int32_t> banned);

  /// How many of a row's best candidates decide `sample` with so many banned tokens; 0 when they don't. Greedy choices
  /// and those among the top_k need no more. What asks for the weight of all tokens (top_p or min_p alone, or neither)
  /// needs the whole row, and so do bias and penalties, which may lift any token.
  static uint32_t candidates_needed(const SamplingState& state, size_t banned);

  /// log softmax of the model's own logits at `chosen`, and the `alternatives` most likely tokens.
  TokenLogprobs logprobs(std::span<const float> logits, int32_t chosen, uint32_t alternatives);

 private:
  int32_t draw_from_all(const SamplingState& state, std::span<const float> logits, float maximum);
  void select_candidates(const SamplingParams& params, std::span<const float> logits, float maximum);
  int32_t draw_from_candidates(const SamplingState& state, float maximum);
  void select_nucleus(const SamplingParams& params, std::span<const float> logits, float maximum);
  void cut_to_nucleus(float top_p, double total);

  std::vector<float> changed_;
  std::vector<float> weights_;
  std::vector<TokenLogit> candidates_;
};

}  // namespace hearth
