#include "server/openai/chat_request.h"

#include <fmt/format.h>

#include <string>
#include <utility>

#include "base/printable.h"
#include "server/openai/endpoint.h"

namespace hearth {
namespace {

using nlohmann::json;
using nlohmann::ordered_json;

constexpr uint32_t kMaxTopLogprobs = 20;

/// The role as templates know it; empty after an error.
std::string read_role(Fields& message) {
  std::string role;
  message.read("role", role);
  if (role == "system" || role == "user" || role == "assistant") return role;
  // OpenAI's newer name, which no template knows.
  if (role == "developer") return "system";
  if (role.empty()) {
    message.fail("role", "is missing");
  } else if (role == "tool" || role == "function") {
    message.fail("role", "tools are not supported by this version");
  } else {
    message.fail("role", fmt::format("must be system, developer, user or assistant, not {}", printable(role, 40)));
  }
  return {};
}

/// The text of one part of a message: {"type": "text", "text": "..."}.
std::string read_part(Fields& message, const std::string& name, const json& part) {
  if (part.is_string()) return part.get<std::string>();
  Fields fields(part, message.path_of(name));
  std::string type, text;
  fields.read("type", type);
  if (!fields.error() && type != "text" && type != "input_text" && type != "output_text") {
    fields.fail("type",
                type.empty() ? "is missing" : fmt::format("this version takes text only, no {}", printable(type, 40)));
  }
  fields.read("text", text);
  if (!fields.has("text")) fields.fail("text", "is missing");
  if (fields.error()) message.fail(*fields.error());
  return text;
}

std::string read_content(Fields& message, bool may_be_missing) {
  const json* content = message.find("content");
  if (content == nullptr) {
    if (!may_be_missing) message.fail("content", "is missing");
    return {};
  }
  if (content->is_string()) return content->get<std::string>();
  if (!content->is_array()) {
    message.fail("content", fmt::format("must be a string or a list of parts, not {}", type_name(*content)));
    return {};
  }
  std::string text;
  for (size_t i = 0; i < content->size(); ++i) {
    if (i > 0) text += "\n";
    text += read_part(message, fmt::format("content[{}]", i), (*content)[i]);
  }
  return text;
}

ordered_json read_message(Fields& fields, const std::string& path, const json& value) {
  Fields message(value, path);
  ordered_json out;
  if (!message.error()) {
    const std::string role = read_role(message);
    out = {{"role", role}, {"content", read_content(message, role == "assistant")}};
    message.refuse("tool_calls");
    message.refuse("function_call");
  }
  if (message.error()) fields.fail(*message.error());
  return out;
}

std::string read_messages(Fields& fields) {
  const json* list = fields.find("messages");
  if (list == nullptr || !list->is_array() || list->empty()) {
    fields.fail("messages", list == nullptr ? "is missing" : "must be a list of at least one message");
    return "[]";
  }
  ordered_json messages = ordered_json::array();
  for (size_t i = 0; i < list->size(); ++i) {
    messages.push_back(read_message(fields, fmt::format("messages[{}]", i), (*list)[i]));
  }
  return messages.dump();
}

/// chat_template_kwargs, and reasoning_effort, which templates of models that reason by degrees take as a variable.
std::optional<std::string> read_template_variables(Fields& fields) {
  json variables = json::object();
  std::string effort;
  fields.read("reasoning_effort", effort);
  if (!effort.empty()) variables["reasoning_effort"] = effort;
  if (const json* sent = fields.find("chat_template_kwargs"); sent != nullptr && !sent->is_object()) {
    fields.fail("chat_template_kwargs", fmt::format("must be an object, not {}", type_name(*sent)));
  } else if (sent != nullptr) {
    variables.update(*sent);
  }
  for (const char* name : {"messages", "tools", "add_generation_prompt", "bos_token", "eos_token"}) {
    if (variables.contains(name)) {
      fields.fail(fmt::format("chat_template_kwargs.{}", name), "is set by the server");
    }
  }
  return variables.empty() ? std::nullopt : std::optional(variables.dump());
}

}  // namespace

ChatTemplateInputs read_template_inputs(Fields& fields) {
  ChatTemplateInputs inputs{.messages = read_messages(fields), .variables = read_template_variables(fields)};
  fields.read("add_generation_prompt", inputs.add_generation_prompt);
  // The template's own text is parsed, a message's never: neither is for the request to say.
  for (const char* name :
       {"continue_final_message", "chat_template", "documents", "add_special_tokens", "parse_special"}) {
    fields.refuse(name);
  }
  return inputs;
}

ApiResult<ChatRequest> parse_chat_request(const json& body, const RequestLimits& limits) {
  Fields fields(body);
  ChatRequest request{.params = read_generation_params(fields, limits), .inputs = read_template_inputs(fields)};
  GenerationParams& params = request.params;
  read_max_tokens(fields, 1, params);
  bool logprobs = false;
  fields.read("logprobs", logprobs);
  uint32_t top_logprobs = 0;
  fields.read("top_logprobs", top_logprobs, 0, kMaxTopLogprobs);
  if (logprobs) params.logprobs = top_logprobs;
  if (top_logprobs > 0 && !logprobs) fields.fail("top_logprobs", "needs logprobs: true");
  fields.refuse("echo");
  if (fields.error()) return std::unexpected(*fields.error());
  return request;
}

ApiResult<std::vector<int32_t>> render_chat(const ChatTemplate& chat_template, const Tokenizer& tokenizer,
                                            const ChatTemplateInputs& inputs, size_t max_tokens) {
  const auto segments = chat_template.render(inputs);
  if (!segments) return std::unexpected(text_error(segments.error(), "messages"));
  const auto ids = tokenizer.encode(*segments, max_tokens);
  if (!ids) return std::unexpected(text_error(ids.error(), "messages"));
  return to_signed(*ids);
}

}  // namespace hearth
