#pragma once

#include <cstdint>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

#include "engine/request.h"
#include "server/openai/logprobs.h"
#include "text/tokenizer.h"

namespace hearth {

/// What every response and every chunk of one answer carries.
struct ResponseHead {
  std::string id;                 ///< "chatcmpl-..."
  std::string model;              ///< as the client named it
  int64_t created = 0;            ///< seconds since 1970
  bool include_usage = false;     ///< chunks have "usage"
  bool continuous_usage = false;  ///< and it says what the choice used so far, rather than null
  bool logprobs = false;          ///< choices have "logprobs"
  bool return_token_ids = false;  ///< choices have "token_ids"
};

/// Turns what the engine generates into OpenAI's JSON. One for each answer, for one thread at a time: it remembers what
/// a choice has said before.
class ResponseFormat {
 public:
  ResponseFormat(ResponseHead head, const Tokenizer* tokenizer) : head_(std::move(head)), tokenizer_(tokenizer) {}
  virtual ~ResponseFormat() = default;

  /// The events of a stream that say what `event` brought for this choice: one or more "data: {...}\n\n".
  virtual std::string events(uint32_t choice, const RequestEvent& event) = 0;

  /// The answer in one piece; `choices` hold all that was generated.
  virtual std::string response(const std::vector<RequestEvent>& choices, const Usage& usage) = 0;

  /// The last chunk of a stream whose client asked for usage: no choices, only the count of tokens.
  std::string usage_event(const Usage& usage) const;

 protected:
  /// {"id", "object", "created", "model"}
  nlohmann::ordered_json start_of(const char* object) const;
  /// The chunk with one choice that has used `usage` so far, and with the fields of `beside` next to the choices, as an
  /// event.
  std::string chunk_event(const char* object, nlohmann::ordered_json choice, const Usage& usage,
                          const nlohmann::ordered_json& beside = nlohmann::ordered_json::object()) const;
  /// "chat.completion.chunk", or what else chunks are called.
  virtual const char* chunk_object() const = 0;

  const ResponseHead& head() const { return head_; }
  const Tokenizer* tokenizer() const { return tokenizer_; }

 private:
  const ResponseHead head_;
  const Tokenizer* const tokenizer_;
};

/// {"prompt_tokens", "completion_tokens", "total_tokens", "prompt_tokens_details": {"cached_tokens"}}
nlohmann::ordered_json usage_json(const Usage& usage);

/// "stop", "length", or null while it goes on.
nlohmann::ordered_json finish_reason_json(const std::optional<FinishReason>& reason);

/// One server-sent event.
std::string sse_event(const std::string& data);

/// The JSON as text; broken UTF-8, which no part of hearth makes, becomes U+FFFD rather than an exception.
std::string dump(const nlohmann::ordered_json& json);

/// POST /v1/chat/completions
std::unique_ptr<ResponseFormat> make_chat_format(ResponseHead head, const Tokenizer* tokenizer,
                                                 std::vector<int32_t> prompt);

/// What a text completion repeats of its prompt.
struct EchoedPrompt {
  std::string text;             ///< empty without echo
  std::vector<int32_t> tokens;  ///< always
  /// Of a prompt that came as a text: how many of its tokens stand before the text. What follows is spelled in it,
  /// control tokens too. Without a value the text was decoded from the tokens.
  std::optional<size_t> tokens_before_text{};
};

/// POST /v1/completions: choice i belongs to prompt i / choices_per_prompt. With `drop_completion` only the echo is
/// answered (max_tokens 0).
std::unique_ptr<ResponseFormat> make_completion_format(ResponseHead head, const Tokenizer* tokenizer,
                                                       std::vector<EchoedPrompt> prompts, uint32_t choices_per_prompt,
                                                       bool skip_special_tokens, bool drop_completion);

}  // namespace hearth
