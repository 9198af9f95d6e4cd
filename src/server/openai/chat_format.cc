#include <utility>

#include "server/openai/response_format.h"

namespace hearth {
namespace {

using nlohmann::ordered_json;

constexpr const char* kChunk = "chat.completion.chunk";

class ChatFormat final : public ResponseFormat {
 public:
  ChatFormat(ResponseHead head, const Tokenizer* tokenizer, std::vector<int32_t> prompt)
      : ResponseFormat(std::move(head), tokenizer), prompt_(std::move(prompt)) {}

  std::string events(uint32_t choice, const RequestEvent& event) override {
    std::string events;
    if (choice >= has_begun_.size()) has_begun_.resize(choice + 1);
    if (!has_begun_[choice]) {
      has_begun_[choice] = true;
      events += first_chunk(chunk_choice(choice, {{"role", "assistant"}, {"content", ""}}), event.usage);
    }
    const bool has_logprobs = head().logprobs && !event.logprobs.empty();
    const bool has_token_ids = head().return_token_ids && !event.tokens.empty();
    if (!event.text.empty() || has_logprobs || has_token_ids) {
      ordered_json piece = chunk_choice(choice, {{"content", event.text}});
      if (has_logprobs) piece["logprobs"] = chat_logprobs(tokenizer(), event.logprobs);
      if (has_token_ids) piece["token_ids"] = event.tokens;
      events += chunk_event(kChunk, std::move(piece), event.usage);
    }
    if (event.finish_reason) {
      ordered_json last = chunk_choice(choice, ordered_json::object());
      last["finish_reason"] = finish_reason_json(event.finish_reason);
      if (event.stop_string) last["stop_reason"] = *event.stop_string;
      events += chunk_event(kChunk, std::move(last), event.usage);
    }
    return events;
  }

  std::string response(const std::vector<RequestEvent>& choices, const Usage& usage) override {
    ordered_json response = start_of("chat.completion");
    ordered_json& list = response["choices"] = ordered_json::array();
    for (const RequestEvent& event : choices) {
      ordered_json choice = {
          {"index", list.size()},
          {"message", {{"role", "assistant"}, {"content", event.text}, {"refusal", nullptr}}},
          {"logprobs", head().logprobs ? chat_logprobs(tokenizer(), event.logprobs) : ordered_json()},
          {"finish_reason", finish_reason_json(event.finish_reason)},
          {"stop_reason", event.stop_string ? ordered_json(*event.stop_string) : ordered_json()}};
      if (head().return_token_ids) choice["token_ids"] = event.tokens;
      list.push_back(std::move(choice));
    }
    response["usage"] = usage_json(usage);
    if (head().return_token_ids) response["prompt_token_ids"] = prompt_;
    return dump(response);
  }

 private:
  const char* chunk_object() const override { return kChunk; }

  static ordered_json chunk_choice(uint32_t index, ordered_json delta) {
    return {{"index", index}, {"delta", std::move(delta)}, {"logprobs", nullptr}, {"finish_reason", nullptr}};
  }

  /// All choices have the same prompt, so the stream's first chunk has it, beside the choices.
  std::string first_chunk(ordered_json choice, const Usage& usage) {
    ordered_json beside = ordered_json::object();
    if (head().return_token_ids && !std::exchange(has_said_prompt_, true)) beside["prompt_token_ids"] = prompt_;
    return chunk_event(kChunk, std::move(choice), usage, beside);
  }

  const std::vector<int32_t> prompt_;
  bool has_said_prompt_ = false;
  std::vector<bool> has_begun_;  ///< by choice: the role has been said
};

}  // namespace

std::unique_ptr<ResponseFormat> make_chat_format(ResponseHead head, const Tokenizer* tokenizer,
                                                 std::vector<int32_t> prompt) {
  return std::make_unique<ChatFormat>(std::move(head), tokenizer, std::move(prompt));
}

}  // namespace hearth
