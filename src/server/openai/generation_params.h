#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "engine/request.h"
#include "server/openai/fields.h"

namespace hearth {

/// What requests are checked against.
struct RequestLimits {
  SamplingParams default_sampling;  ///< for fields that the request leaves out
  uint32_t max_choices = 128;       ///< prompts times n
  uint32_t vocabulary_size = 0;     ///< 0: not known here, left to the engine
  bool has_tokenizer = true;        ///< else texts, among them stop strings, mean nothing
};

/// What chat and text completions have in common.
struct GenerationParams {
  std::string model;  ///< empty: the one that is served
  SamplingParams sampling;
  std::optional<uint32_t> max_tokens;
  uint32_t min_tokens = 0;
  std::vector<std::string> stop;
  std::vector<int32_t> stop_token_ids;
  bool ignore_end_tokens = false;
  bool skip_special_tokens = true;
  std::optional<uint32_t> logprobs;  ///< alternatives a token; 0 is only the chosen token
  uint32_t choices = 1;              ///< n
  bool stream = false;
  bool include_usage = false;     ///< stream_options
  bool continuous_usage = false;  ///< stream_options: each chunk says what was used so far
  bool return_token_ids = false;
  std::string cache_salt;
  int32_t priority = 0;  ///< lower comes first, as in vLLM
};

/// Reads the common fields; what is wrong is left in `fields`.
GenerationParams read_generation_params(Fields& fields, const RequestLimits& limits);

/// Reads max_tokens by each of its names; where several are sent, max_completion_tokens counts most. Without any of
/// them `params` keeps what it has.
void read_max_tokens(Fields& fields, uint32_t lowest, GenerationParams& params);

/// Whether every id is in the vocabulary; else an error that names the first that is not.
void check_token_ids(Fields& fields, std::string_view name, const std::vector<int32_t>& ids,
                     const RequestLimits& limits);

/// The engine's request for choice number `choice` of a prompt.
Request make_engine_request(const GenerationParams& params, std::vector<int32_t> prompt, uint32_t choice);

/// The same, from that of choice 0.
Request request_of_choice(Request request, uint32_t choice);

}  // namespace hearth
