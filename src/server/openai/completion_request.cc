#include "server/openai/completion_request.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

namespace hearth {
namespace {

using nlohmann::json;

constexpr uint32_t kMaxLogprobs = 20;

/// One prompt: a text, or a list of token ids. `name` is "prompt" or "prompt[3]".
Prompt read_prompt(Fields& fields, const std::string& name, const json& value, const RequestLimits& limits) {
  if (value.is_string()) {
    if (!limits.has_tokenizer) {
      fields.fail(name, "this model has no tokenizer; send a list of token ids");
    }
    return value.get<std::string>();
  }
  if (!value.is_array()) {
    fields.fail(name, fmt::format("must be a string or a list of token ids, not {}", type_name(value)));
    return {};
  }
  std::vector<int32_t> ids;
  ids.reserve(value.size());
  for (size_t i = 0; i < value.size(); ++i) {
    const std::optional<int32_t> id = token_id(value[i]);
    if (!id) {
      fields.fail(fmt::format("{}[{}]", name, i), "must be a token id");
      return {};
    }
    ids.push_back(*id);
  }
  if (ids.empty()) fields.fail(name, "must not be an empty list");
  check_token_ids(fields, name, ids, limits);
  return ids;
}

}  // namespace

std::vector<Prompt> read_prompts(Fields& fields, std::string_view name, const RequestLimits& limits) {
  const json* value = fields.find(name);
  const std::string path(name);
  if (value == nullptr) {
    fields.fail(name, "is missing");
    return {};
  }
  const bool is_list_of_prompts =
      value->is_array() && !value->empty() && (value->front().is_string() || value->front().is_array());
  std::vector<Prompt> prompts;
  if (!is_list_of_prompts) {
    prompts.push_back(read_prompt(fields, path, *value, limits));
    return prompts;
  }
  if (value->size() > limits.max_choices) {
    fields.fail(name, fmt::format("must be at most {} prompts, not {}", limits.max_choices, value->size()));
    return {};
  }
  for (size_t i = 0; i < value->size(); ++i) {
    prompts.push_back(read_prompt(fields, fmt::format("{}[{}]", name, i), (*value)[i], limits));
  }
  return prompts;
}

ApiResult<CompletionRequest> parse_completion_request(const json& body, const RequestLimits& limits) {
  Fields fields(body);
  CompletionRequest request{.params = read_generation_params(fields, limits)};
  GenerationParams& params = request.params;
  request.prompts = read_prompts(fields, "prompt", limits);
  fields.read("echo", request.echo);
  fields.read("add_special_tokens", request.add_special_tokens);
  fields.read("parse_special", request.parse_special);
  params.max_tokens = 16;  // OpenAI's default for this endpoint
  read_max_tokens(fields, 0, params);
  fields.read("logprobs", params.logprobs, 0, kMaxLogprobs);
  fields.refuse("suffix");
  if (request.prompts.size() * params.choices > limits.max_choices) {
    fields.fail("n", fmt::format("prompts times n must be at most {}", limits.max_choices));
  }
  if (fields.error()) return std::unexpected(*fields.error());
  return request;
}

}  // namespace hearth
