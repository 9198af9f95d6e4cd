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

/// What both endpoints need before they look at their own fields.
struct TextRequest {
  std::shared_ptr<const ReadyModel> model;
  json body;
};

ApiResult<TextRequest> read_request(const ServedModel& model, const HttpRequest& http) {
  auto ready = require_ready(model);
  if (!ready) return std::unexpected(ready.error());
  if (const auto tokenizer = require_tokenizer(**ready); !tokenizer) return std::unexpected(tokenizer.error());
  auto body = parse_body(http);
  if (!body) return std::unexpected(body.error());
  Fields fields(*body);
  std::string name;
  fields.read("model", name);
  if (fields.error()) return std::unexpected(*fields.error());
  if (const auto known = check_model_name(model, name); !known) return std::unexpected(known.error());
  return TextRequest{*std::move(ready), *std::move(body)};
}

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

ApiResult<HttpResponse> tokenize_request(const ServedModel& model, const HttpRequest& http) {
  const auto request = read_request(model, http);
  if (!request) return std::unexpected(request.error());
  const Tokenizer& tokenizer = *request->model->tokenizer;
  Fields fields(request->body);
  bool return_token_strs = false;
  fields.read("return_token_strs", return_token_strs);
  const auto ids =
      fields.has("messages") ? tokens_of_messages(*request->model, fields) : tokens_of_prompt(tokenizer, fields);
  if (!ids) return std::unexpected(ids.error());
  ordered_json strings = nullptr;
  if (return_token_strs) {
    strings = ordered_json::array();
    for (const uint32_t id : *ids) strings.push_back(token_text(&tokenizer, static_cast<int32_t>(id)));
  }
  return HttpResponse{.body = dump({{"count", ids->size()},
                                    {"max_model_len", request->model->engine->context_length()},
                                    {"tokens", *ids},
                                    {"token_strs", std::move(strings)}})};
}

ApiResult<HttpResponse> detokenize_request(const ServedModel& model, const ServerOptions& options,
                                           const HttpRequest& http) {
  const auto request = read_request(model, http);
  if (!request) return std::unexpected(request.error());
  Fields fields(request->body);
  std::vector<int32_t> tokens;
  fields.read("tokens", tokens);
  check_token_ids(fields, "tokens", tokens, request_limits(*request->model, options));
  if (!fields.has("tokens")) fields.fail("tokens", "is missing");
  if (fields.error()) return std::unexpected(*fields.error());
  const std::string text = request->model->tokenizer->decode(to_unsigned(tokens), {.skip_special = false});
  return HttpResponse{.body = dump({{"prompt", text}})};
}

HttpResponse to_response(const ApiResult<HttpResponse>& result) {
  return result ? *result : hearth::to_response(result.error());
}

}  // namespace

HttpResponse tokenize(const ServedModel& model, const ServerOptions&, const HttpRequest& request) {
  return to_response(tokenize_request(model, request));
}

HttpResponse detokenize(const ServedModel& model, const ServerOptions& options, const HttpRequest& request) {
  return to_response(detokenize_request(model, options, request));
}

}  // namespace hearth
