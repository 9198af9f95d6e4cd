#pragma once

#include <chrono>
#include <cstdint>
#include <limits>
#include <optional>
#include <string>
#include <unordered_map>
#include <vector>

#include "base/result.h"

namespace hearth {

/// How the next token is chosen. Ranges are checked by whoever takes them from a user.
struct SamplingParams {
  float temperature = 1.0F;         ///< 0 is greedy
  uint32_t top_k = 0;               ///< 0 keeps all
  float top_p = 1.0F;               ///< nucleus, (0, 1]
  float min_p = 0.0F;               ///< tokens below min_p * p(best) are dropped, [0, 1]
  float presence_penalty = 0.0F;    ///< subtracted once from each token generated so far
  float frequency_penalty = 0.0F;   ///< subtracted for each time that it was generated
  float repetition_penalty = 1.0F;  ///< logits of tokens in prompt or output: divided when positive, else multiplied
  std::unordered_map<int32_t, float> logit_bias;
  std::optional<uint64_t> seed;  ///< same seed and request, same text, whatever else runs
};

/// Whose request it is. Users share a device by weight.
struct User {
  std::string id;    ///< equal ids are one user
  std::string name;  ///< labels what is counted in the metrics; without one it is not counted apart
  double weight = 1;
  uint32_t max_running = std::numeric_limits<uint32_t>::max();  ///< requests that run at once
  uint32_t max_waiting = std::numeric_limits<uint32_t>::max();  ///< requests beside those; beyond, submit refuses
};

/// What a client wants generated. Prompts are token ids: the text layer stands in front of the engine.
struct Request {
  std::string id;  ///< for logs
  User user;
  int32_t priority = 0;  ///< requests of a lower number come first, and lose their KV blocks last
  std::vector<int32_t> prompt;
  SamplingParams sampling;
  uint32_t max_tokens = 0;              ///< 0 is up to the end of the context
  uint32_t min_tokens = 0;              ///< no end token before
  std::vector<std::string> stop;        ///< strings that end the text; they are not part of it
  std::vector<int32_t> stop_token_ids;  ///< beyond the model's own end tokens
  bool ignore_end_tokens = false;
  bool skip_special_tokens = true;   ///< control tokens do not appear in the text
  std::optional<uint32_t> logprobs;  ///< how many alternatives for each token; 0 is only the chosen one
  bool prompt_logprobs = false;      ///< logprobs of the prompt's tokens too (echo); needs `logprobs`
  std::string cache_salt;            ///< prefixes are shared only between equal salts
  std::optional<std::chrono::steady_clock::time_point> deadline;  ///< then it fails with ErrorCode::timed_out
};

enum class FinishReason : uint8_t { stop, length, cancelled, failed };

struct TokenLogprob {
  int32_t token = 0;
  float logprob = 0.0F;
};

/// One token of a result with the alternatives that were asked for, most likely first.
struct TokenLogprobs {
  TokenLogprob chosen;
  std::vector<TokenLogprob> top;
};

struct Usage {
  uint32_t prompt_tokens = 0;
  uint32_t cached_tokens = 0;  ///< of the prompt, found in the prefix cache
  uint32_t completion_tokens = 0;
};

/// A piece of a request's result, in order. The last one has `finish_reason`.
struct RequestEvent {
  std::string text;  ///< whole UTF-8 characters; empty while a character or a stop string may still be incomplete
  std::vector<int32_t> tokens;                 ///< ids generated since the last event, an end token too
  std::vector<TokenLogprobs> logprobs;         ///< one for each of `tokens`, if asked for
  std::vector<TokenLogprobs> prompt_logprobs;  ///< with the first event, if asked for; the first token has no `top`
  std::optional<FinishReason> finish_reason;
  std::optional<std::string> stop_string;  ///< which one matched
  std::optional<Error> error;              ///< with FinishReason::failed
  Usage usage;                             ///< so far
};

}  // namespace hearth
