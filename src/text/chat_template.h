#pragma once

#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "text/text_segment.h"

struct HearthTemplate;

namespace hearth {

/// What a request brings to a chat template, as JSON texts: the order of an object's fields is part of the prompt.
struct ChatTemplateInputs {
  std::string messages;                  ///< array of messages, as in OpenAI's chat completions
  std::optional<std::string> tools;      ///< array of tools
  std::optional<std::string> variables;  ///< object of further variables, such as enable_thinking
  bool add_generation_prompt = true;     ///< end with the start of the assistant's answer
};

/// A model's chat template: Jinja source, rendered as Python's transformers renders it. Immutable: render may be called
/// from several threads at once.
class ChatTemplate {
 public:
  /// `bos` and `eos` are the template's bos_token and eos_token. `invalid_argument` when the source is empty, as in
  /// base models; `unsupported` when it cannot be compiled.
  static Result<ChatTemplate> from_source(std::string_view jinja, const std::optional<std::string>& bos,
                                          const std::optional<std::string>& eos);

  ChatTemplate(ChatTemplate&&) noexcept;
  ChatTemplate& operator=(ChatTemplate&&) noexcept;
  ~ChatTemplate();

  /// The prompt, in alternating segments of the template's and the request's text; for Tokenizer::encode.
  /// `invalid_argument` when the template refuses the messages (its raise_exception) or they do not suit it.
  Result<std::vector<TextSegment>> render(const ChatTemplateInputs& inputs) const;

 private:
  struct Free {
    void operator()(HearthTemplate* chat_template) const;
  };

  explicit ChatTemplate(HearthTemplate* chat_template) : template_(chat_template) {}

  std::unique_ptr<HearthTemplate, Free> template_;
};

}  // namespace hearth
