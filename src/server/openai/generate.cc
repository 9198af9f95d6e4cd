#include "server/openai/generate.h"

#include <fmt/format.h>

#include <algorithm>
#include <memory>
#include <utility>
#include <vector>

#include "server/openai/chat_request.h"
#include "server/openai/completion_request.h"
#include "server/openai/endpoint.h"
#include "server/openai/generation.h"
#include "server/openai/response_format.h"
#include "server/unix_time.h"

namespace hearth {
namespace {

constexpr size_t kTokenIdBytes = 8;  ///< about, as JSON

/// A prompt with its tokens, and what an answer repeats of it.
ApiResult<EchoedPrompt> read_prompt(const ReadyModel& model, const Prompt& prompt, const CompletionRequest& request) {
  EchoedPrompt read;
  if (const auto* ids = std::get_if<std::vector<int32_t>>(&prompt)) {
    read.tokens = *ids;
    if (request.echo && model.tokenizer != nullptr) {
      read.text = model.tokenizer->decode(to_unsigned(*ids), {.skip_special = request.params.skip_special_tokens});
    }
    return read;
  }
  const auto tokenizer = require_tokenizer(model);
  if (!tokenizer) return std::unexpected(tokenizer.error());
  const std::string& text = std::get<std::string>(prompt);
  const EncodeOptions options{.allow_special = request.parse_special,
                              .add_special = request.add_special_tokens,
                              .max_tokens = model.engine->context_length()};
  const auto encoded = encode_text(**tokenizer, text, options, "prompt");
  if (!encoded) return std::unexpected(encoded.error());
  read.tokens = to_signed(encoded->ids);
  read.tokens_before_text = encoded->ids_before_text;
  if (request.echo) read.text = text;
  return read;
}

/// The prompt must leave room for one token. One more than the context holds stands for any number (EncodeOptions).
/// Clients know the error by its words: LiteLLM by the first sentence, which is OpenAI's, LangChain by "prompt is too
/// long".
ApiResult<void> check_length(const ReadyModel& model, size_t tokens, const char* param) {
  const uint32_t context_length = model.engine->context_length();
  if (tokens == 0) return bad_field(param, "The prompt has no tokens");
  if (tokens < context_length) return {};
  const std::string count =
      tokens == size_t{context_length} + 1 ? fmt::format("more than {}", context_length) : fmt::to_string(tokens);
  return std::unexpected(ApiError{
      .status = 400,
      .message = fmt::format("This model's maximum context length is {} tokens. The prompt is too long: it has {}, "
                             "and the answer needs room as well",
                             context_length, count),
      .param = param,
      .code = "context_length_exceeded"});
}

ResponseHead make_head(const ServedModel& model, const HttpRequest& request, const GenerationParams& params,
                       const char* id_prefix) {
  return {.id = id_prefix + request.id,
          .model = params.model.empty() ? model.name() : params.model,
          .created = seconds_since_1970(),
          .include_usage = params.include_usage,
          .continuous_usage = params.continuous_usage,
          .logprobs = params.logprobs.has_value(),
          .return_token_ids = params.return_token_ids};
}

/// A plan without requests and format.
GenerationPlan make_plan(ModelLease ready, const ServerOptions& options, const HttpRequest& request,
                         const GenerationParams& params) {
  return {.model = std::move(ready),
          .requests = {},
          .choices_per_prompt = params.choices,
          .format = nullptr,
          .stream = params.stream,
          .include_usage = params.include_usage,
          .drop_completion = params.max_tokens == 0U,
          .max_unsent_bytes = options.max_unsent_bytes,
          .received = request.received};
}

void add_prompt(GenerationPlan& plan, const HttpRequest& http, const GenerationParams& params,
                std::vector<int32_t> prompt, bool prompt_logprobs) {
  Request request = make_engine_request(params, std::move(prompt), 0);
  request.id = http.id;
  request.user = http.user;
  request.prompt_logprobs = prompt_logprobs;
  plan.requests.push_back(std::move(request));
}

ApiResult<GenerationPlan> plan_completion(const ModelRequest& asked, const ServerOptions& options) {
  const HttpRequest& http = asked.http;
  const auto request = parse_completion_request(asked.body, request_limits(*asked.model, options));
  if (!request) return std::unexpected(request.error());
  const GenerationParams& params = request->params;
  GenerationPlan plan = make_plan(asked.model, options, http, params);
  std::vector<EchoedPrompt> prompts;
  for (const Prompt& prompt : request->prompts) {
    auto read = read_prompt(*plan.model, prompt, *request);
    if (!read) return std::unexpected(read.error());
    if (const auto fits = check_length(*plan.model, read->tokens.size(), "prompt"); !fits) {
      return std::unexpected(fits.error());
    }
    add_prompt(plan, http, params, read->tokens, request->echo && params.logprobs);
    plan.echoed_bytes += params.choices * read->text.size();
    if (params.return_token_ids) plan.echoed_bytes += params.choices * read->tokens.size() * kTokenIdBytes;
    prompts.push_back(*std::move(read));
  }
  plan.format =
      make_completion_format(make_head(*asked.served, http, params, "cmpl-"), plan.model->tokenizer, std::move(prompts),
                             params.choices, params.skip_special_tokens, plan.drop_completion);
  return plan;
}

ApiResult<GenerationPlan> plan_chat(const ModelRequest& asked, const ServerOptions& options) {
  const HttpRequest& http = asked.http;
  const auto request = parse_chat_request(asked.body, request_limits(*asked.model, options));
  if (!request) return std::unexpected(request.error());
  const GenerationParams& params = request->params;
  if (const auto chats = require_chat_template(*asked.model); !chats) return std::unexpected(chats.error());

  GenerationPlan plan = make_plan(asked.model, options, http, params);
  auto prompt = render_chat(*plan.model->chat_template, *plan.model->tokenizer, request->inputs,
                            plan.model->engine->context_length());
  if (!prompt) return std::unexpected(prompt.error());
  if (const auto fits = check_length(*plan.model, prompt->size(), "messages"); !fits) {
    return std::unexpected(fits.error());
  }
  add_prompt(plan, http, params, *prompt, false);
  if (params.return_token_ids) plan.echoed_bytes = prompt->size() * kTokenIdBytes;
  plan.format =
      make_chat_format(make_head(*asked.served, http, params, "chatcmpl-"), plan.model->tokenizer, *std::move(prompt));
  return plan;
}

Reply to_reply(ApiResult<GenerationPlan> plan) {
  if (!plan) return to_response(plan.error());
  return std::make_unique<Generation>(*std::move(plan));
}

}  // namespace

Reply generate_completion(const ModelRequest& request, const ServerOptions& options) {
  return to_reply(plan_completion(request, options));
}

Reply generate_chat(const ModelRequest& request, const ServerOptions& options) {
  return to_reply(plan_chat(request, options));
}

}  // namespace hearth
