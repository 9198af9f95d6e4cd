#include "text/chat_template.h"

#include "text/rust_bridge.h"

namespace hearth {

void ChatTemplate::Free::operator()(HearthTemplate* chat_template) const { hearth_template_free(chat_template); }

ChatTemplate::ChatTemplate(ChatTemplate&&) noexcept = default;
ChatTemplate& ChatTemplate::operator=(ChatTemplate&&) noexcept = default;
ChatTemplate::~ChatTemplate() = default;

Result<ChatTemplate> ChatTemplate::from_source(std::string_view jinja, const std::optional<std::string>& bos,
                                               const std::optional<std::string>& eos) {
  if (jinja.empty()) {
    return fail(ErrorCode::invalid_argument, "the model has no chat template, so it is a base model",
                "use completions instead of chat completions");
  }
  HearthTemplate* created = nullptr;
  std::string error;
  const int32_t status =
      hearth_template_new(rust::slice(jinja), rust::slice(bos), rust::slice(eos), &created, rust::append_to(error));
  if (status != 0) return rust::failure(status, std::move(error));
  return ChatTemplate(created);
}

Result<std::vector<TextSegment>> ChatTemplate::render(const ChatTemplateInputs& inputs) const {
  std::string text;
  std::vector<uint64_t> ends;
  std::string error;
  const int32_t status =
      hearth_template_render(template_.get(), rust::slice(std::string_view(inputs.messages)), rust::slice(inputs.tools),
                             rust::slice(inputs.variables), inputs.add_generation_prompt, rust::append_to(text),
                             rust::append_to(ends), rust::append_to(error));
  if (status != 0) return rust::failure(status, std::move(error));
  std::vector<TextSegment> segments;
  size_t start = 0;
  for (const uint64_t coded : ends) {
    const size_t end = coded / 2;
    segments.push_back({.text = text.substr(start, end - start), .is_template = coded % 2 == 1});
    start = end;
  }
  return segments;
}

}  // namespace hearth
