#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "engine/engine.h"
#include "engine/output_text.h"
#include "engine/request.h"
#include "engine/sampling/sampler.h"
#include "engine/sequence.h"

namespace hearth {

/// A request inside the engine, from submit to its last event. Only the engine's thread touches it.
struct ActiveRequest {
  using TimePoint = std::chrono::steady_clock::time_point;

  Request request;  ///< without its prompt, which is in `sequence`
  Engine::EventCallback on_event;
  Sequence sequence;  ///< its arrival is the request's handle
  SamplingState sampling;
  OutputText text;
  std::vector<int32_t> end_tokens;             ///< ids that end this request
  uint32_t max_size = 0;                       ///< tokens of prompt and answer at most
  std::vector<TokenLogprobs> prompt_logprobs;  ///< gathered until the first event
  bool lost_a_device = false;                  ///< and was computed again, which happens once

  TimePoint submitted;
  std::optional<TimePoint> admitted;
  std::optional<TimePoint> first_token;
  TimePoint last_token;

  /// Tokens that may not be next.
  std::span<const int32_t> banned() const {
    return generated() < request.min_tokens ? std::span<const int32_t>(end_tokens) : std::span<const int32_t>();
  }

  /// Says in `sequence` how much of the next row of logits is needed.
  void choose_candidates() {
    sequence.candidates = request.logprobs ? 0 : Sampler::candidates_needed(sampling, banned().size());
  }

  /// Whether the token after the next one surely is to come, as far as that depends on counts.
  bool goes_on_after_next() const { return sequence.size() + 1 < max_size; }

  uint32_t generated() const { return sequence.size() - sequence.prompt_tokens; }
  Usage usage() const { return {sequence.prompt_tokens, sequence.cached.value_or(0), generated()}; }
};

}  // namespace hearth
