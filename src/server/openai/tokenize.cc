#include "server/openai/tokenize.h"

#include <utility>
#include <vector>

#include "server/openai/chat_request.h"
#include "server/openai/endpoint.h"
#include "server/openai/logprobs.h"
#include "server/openai/response_format.h"

namespace hearth {
namespace {

using nlohmann::json;
using nlohmann::ordered_json;

ApiResult<std::vector<uint32_t>> tokens_of_prompt(const Tokenizer& tokenizer, Fields& fields) {
  std::string prompt;
  EncodeOptions options{.allow_special = true, .add_special = true};
  fields.read("prompt", prompt);
  fields.read("add_special_tokens", options.add_special);
  fields.read("parse_special", options.allow_special);
  if (!fields.has("prompt")) fields.fail("prompt", "is missing; send prompt or messages");
  if (fields.error()) return std::unexpected(*fields.error());
  auto encoded = encode_text(tokenizer, prompt, options, "prompt");
  if (!encoded) return std::unexpected(encoded.error());
  return std::move(encoded->ids);
}

ApiResult<std::vector<uint32_t>> tokens_of_messages(const ReadyModel& model, Fields& fields) {
  const ChatTemplateInputs inputs = read_template_inputs(fields);
  if (fields.error()) return std::unexpected(*fields.error());
  if (const auto chats = require_chat_template(model); !chats) return std::unexpected(chats.error());
  const auto ids = render_chat(*model.chat_template, *model.tokenizer, inputs);
  if (!ids) return std::unexpected(ids.error());
  return to_unsigned(*ids);
}

ApiResult<HttpResponse> tokenize_request(const ModelRequest& request) {
  const ReadyModel& model = *request.model;
  const auto tokenizer = require_tokenizer(model);
  if (!tokenizer) return std::unexpected(tokenizer.error());
  Fields fields(request.body);
  bool return_token_strs = false;
  fields.read("return_token_strs", return_token_strs);
  const auto ids = fields.has("messages") ? tokens_of_messages(model, fields) : tokens_of_prompt(**tokenizer, fields);
  if (!ids) return std::unexpected(ids.error());
  ordered_json strings = nullptr;
  if (return_token_strs) {
    strings = ordered_json::array();
    for (const uint32_t id : *ids) strings.push_back(token_text(*tokenizer, static_cast<int32_t>(id)));
  }
  return HttpResponse{.body = dump({{"count", ids->size()},
                                    {"max_model_len", model.engine->context_length()},
                                    {"tokens", *ids},
                                    {"token_strs", std::move(strings)}})};
}

ApiResult<HttpResponse> detokenize_request(const ModelRequest& request, const ServerOptions& options) {
  const auto tokenizer = require_tokenizer(*request.model);
  if (!tokenizer) return std::unexpected(tokenizer.error());
  Fields fields(request.body);
  std::vector<int32_t> tokens;
  fields.read("tokens", tokens);
  check_token_ids(fields, "tokens", tokens, request_limits(*request.model, options));
  if (!fields.has("tokens")) fields.fail("tokens", "is missing");
  if (fields.error()) return std::unexpected(*fields.error());
  const std::string text = (*tokenizer)->decode(to_unsigned(tokens), {.skip_special = false});
  return HttpResponse{.body = dump({{"prompt", text}})};
}

HttpResponse to_response(const ApiResult<HttpResponse>& result) {
  return result ? *result : hearth::to_response(result.error());
}

}  // namespace

HttpResponse tokenize(const ModelRequest& request) { return to_response(tokenize_request(request)); }

HttpResponse detokenize(const ModelRequest& request, const ServerOptions& options) {
  return to_response(detokenize_request(request, options));
}

}  // namespace hearth
