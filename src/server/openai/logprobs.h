#pragma once

#include <cstdint>
#include <nlohmann/json.hpp>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "engine/request.h"
#include "text/detokenizer.h"
#include "text/tokenizer.h"

namespace hearth {

/// A token's text, with U+FFFD for what is not a whole character.
std::string token_text(const Tokenizer* tokenizer, int32_t token);

/// Chat: {"content": [{"token", "logprob", "bytes", "top_logprobs"}], "refusal": null}.
nlohmann::ordered_json chat_logprobs(const Tokenizer* tokenizer, std::span<const TokenLogprobs> tokens);

/// Text completions: {"tokens", "token_logprobs", "top_logprobs", "text_offset"}. One for each choice: offsets count on
/// from one call to the next.
class CompletionLogprobs {
 public:
  /// `text_offset` is where the first token's text begins, in code points.
  CompletionLogprobs(const Tokenizer* tokenizer, DecodeOptions options, size_t text_offset);

  /// Appends the tokens. `first_has_logprob` is false for a prompt, whose first token follows nothing.
  void append(nlohmann::ordered_json& to, std::span<const TokenLogprobs> tokens, bool first_has_logprob);

  static nlohmann::ordered_json empty();

 private:
  const Tokenizer* tokenizer_;
  std::optional<StreamingDetokenizer> detokenizer_;  ///< none without a tokenizer
  size_t text_offset_;
};

/// Number of code points in valid UTF-8.
size_t count_code_points(std::string_view text);

}  // namespace hearth
