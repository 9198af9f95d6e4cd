#include <algorithm>
#include <span>
#include <utility>

#include "server/openai/response_format.h"

namespace hearth {
namespace {

using nlohmann::ordered_json;

constexpr const char* kObject = "text_completion";

class CompletionFormat final : public ResponseFormat {
 public:
  CompletionFormat(ResponseHead head, const Tokenizer* tokenizer, std::vector<EchoedPrompt> prompts,
                   uint32_t choices_per_prompt, bool skip_special_tokens, bool drop_completion)
      : ResponseFormat(std::move(head), tokenizer),
        prompts_(std::move(prompts)),
        choices_per_prompt_(choices_per_prompt),
        skip_special_tokens_(skip_special_tokens),
        drop_completion_(drop_completion),
        choices_(prompts_.size() * choices_per_prompt) {}

  std::string events(uint32_t choice, const RequestEvent& event) override {
    const bool is_first = !choices_[choice].has_begun;
    const bool has_news = !event.text.empty() || event.finish_reason || (head().logprobs && !event.logprobs.empty()) ||
                          (head().return_token_ids && !event.tokens.empty());
    if (!is_first && !has_news) return {};
    Usage usage = event.usage;
    if (drop_completion_) usage.completion_tokens = 0;
    return chunk_event(kObject, choice_json(choice, event), usage);
  }

  std::string response(const std::vector<RequestEvent>& choices, const Usage& usage) override {
    ordered_json response = start_of(kObject);
    ordered_json& list = response["choices"] = ordered_json::array();
    for (uint32_t i = 0; i < choices.size(); ++i) list.push_back(choice_json(i, choices[i]));
    response["usage"] = usage_json(usage);
    return dump(response);
  }

 private:
  struct Choice {
    bool has_begun = false;
    std::optional<CompletionLogprobs> logprobs;
  };

  const char* chunk_object() const override { return kObject; }

  ordered_json choice_json(uint32_t index, const RequestEvent& event) {
    const EchoedPrompt& prompt = prompts_[index / choices_per_prompt_];
    Choice& choice = choices_[index];
    const bool is_first = !std::exchange(choice.has_begun, true);
    ordered_json json = {
        {"index", index},
        {"text", (is_first ? prompt.text : "") + (drop_completion_ ? "" : event.text)},
        {"logprobs", head().logprobs ? logprobs_json(choice, prompt, event, is_first) : ordered_json()},
        {"finish_reason", finish_reason_json(event.finish_reason)},
        {"stop_reason", event.stop_string ? ordered_json(*event.stop_string) : ordered_json()}};
    if (head().return_token_ids) {
      json["token_ids"] = drop_completion_ ? std::vector<int32_t>() : event.tokens;
      if (is_first) json["prompt_token_ids"] = prompt.tokens;
    }
    return json;
  }

  ordered_json logprobs_json(Choice& choice, const EchoedPrompt& prompt, const RequestEvent& event, bool is_first) {
    ordered_json json = CompletionLogprobs::empty();
    if (is_first && !event.prompt_logprobs.empty()) {
      append_prompt(json, prompt, event.prompt_logprobs);
    }
    if (!choice.logprobs) {
      choice.logprobs.emplace(tokenizer(), DecodeOptions{.skip_special = skip_special_tokens_, .starts_text = false},
                              count_code_points(prompt.text));
    }
    if (!drop_completion_) choice.logprobs->append(json, event.logprobs, true);
    return json;
  }

  void append_prompt(ordered_json& json, const EchoedPrompt& prompt, std::span<const TokenLogprobs> tokens) const {
    const size_t before = std::min(prompt.tokens_before_text.value_or(0), tokens.size());
    CompletionLogprobs(tokenizer(), {.skip_special = true}, 0).append(json, tokens.first(before), false);
    const bool skip_special = !prompt.tokens_before_text && skip_special_tokens_;
    CompletionLogprobs of_text(tokenizer(), {.skip_special = skip_special}, 0);
    of_text.append(json, tokens.subspan(before), before > 0);
  }

  const std::vector<EchoedPrompt> prompts_;
  const uint32_t choices_per_prompt_;
  const bool skip_special_tokens_;
  const bool drop_completion_;
  std::vector<Choice> choices_;
};

}  // namespace

std::unique_ptr<ResponseFormat> make_completion_format(ResponseHead head, const Tokenizer* tokenizer,
                                                       std::vector<EchoedPrompt> prompts, uint32_t choices_per_prompt,
                                                       bool skip_special_tokens, bool drop_completion) {
  return std::make_unique<CompletionFormat>(std::move(head), tokenizer, std::move(prompts), choices_per_prompt,
                                            skip_special_tokens, drop_completion);
}

}  // namespace hearth
