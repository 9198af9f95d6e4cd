#include "server/openai/response_format.h"

#include <utility>

namespace hearth {

using nlohmann::ordered_json;

std::string dump(const ordered_json& json) { return json.dump(-1, ' ', false, ordered_json::error_handler_t::replace); }

std::string sse_event(const std::string& data) { return "data: " + data + "\n\n"; }

ordered_json usage_json(const Usage& usage) {
  return {{"prompt_tokens", usage.prompt_tokens},
          {"completion_tokens", usage.completion_tokens},
          {"total_tokens", usage.prompt_tokens + usage.completion_tokens},
          {"prompt_tokens_details", {{"cached_tokens", usage.cached_tokens}}}};
}

ordered_json finish_reason_json(const std::optional<FinishReason>& reason) {
  if (!reason) return nullptr;
  return *reason == FinishReason::length ? "length" : "stop";
}

ordered_json ResponseFormat::start_of(const char* object) const {
  return {{"id", head_.id}, {"object", object}, {"created", head_.created}, {"model", head_.model}};
}

std::string ResponseFormat::chunk_event(const char* object, ordered_json choice, const Usage& usage,
                                        const ordered_json& beside) const {
  ordered_json chunk = start_of(object);
  chunk["choices"] = ordered_json::array({std::move(choice)});
  chunk.update(beside);
  if (head_.include_usage) chunk["usage"] = head_.continuous_usage ? usage_json(usage) : ordered_json();
  return sse_event(dump(chunk));
}

std::string ResponseFormat::usage_event(const Usage& usage) const {
  ordered_json chunk = start_of(chunk_object());
  chunk["choices"] = ordered_json::array();
  chunk["usage"] = usage_json(usage);
  return sse_event(dump(chunk));
}

}  // namespace hearth
