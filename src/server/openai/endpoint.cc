#include "server/openai/endpoint.h"

#include <fmt/format.h>

#include <algorithm>
#include <string_view>
#include <utility>

#include "base/json.h"
#include "base/printable.h"

namespace hearth {
namespace {

constexpr size_t kNamedModels = 8;

/// "application/json" of "Application/JSON; charset=utf-8".
std::string media_type(std::string_view content_type) {
  std::string type(content_type.substr(0, content_type.find(';')));
  std::erase_if(type, [](char c) { return c == ' ' || c == '\t'; });
  std::ranges::transform(type, type.begin(), [](char c) { return c >= 'A' && c <= 'Z' ? char(c - 'A' + 'a') : c; });
  return type;
}

/// A page of any site may have a browser send forms, plain text, and bodies without a type to a server of this machine,
/// without asking the server first; JSON it may not. Programs that are no browsers send no Origin, and may leave out
/// the type.
ApiResult<void> check_content_type(const HttpRequest& request) {
  const std::string_view content_type = request.header("Content-Type");
  const bool is_from_browser = !request.header("Origin").empty();
  if (media_type(content_type) == "application/json" || (content_type.empty() && !is_from_browser)) return {};
  return std::unexpected(
      ApiError{.status = 415,
               .message = fmt::format("The request's body is sent as {}; send Content-Type: application/json",
                                      content_type.empty() ? "nothing in particular" : printable(content_type))});
}

}  // namespace

ApiResult<nlohmann::json> parse_body(const HttpRequest& request) {
  if (const auto sent_as_json = check_content_type(request); !sent_as_json) {
    return std::unexpected(sent_as_json.error());
  }
  if (request.body.empty()) {
    return std::unexpected(ApiError{.status = 400, .message = "The request has no body; send a JSON object"});
  }
  Result<nlohmann::json> json = parse_json(request.body, "request body", {.unique_keys = true});
  if (!json) return std::unexpected(ApiError{.status = 400, .message = to_string(json.error())});
  return *std::move(json);
}

ApiError unknown_model(const ServedModels& models, std::string_view name) {
  const auto all = models.all();
  std::string served;
  for (size_t i = 0; i < std::min(all.size(), kNamedModels); ++i) {
    served += fmt::format("{}`{}`", i == 0 ? "" : ", ", all[i]->name());
  }
  if (all.size() > kNamedModels) served += ", ...";
  return {.status = 404,
          .message = fmt::format("The model `{}` is not served here; {} {}", printable(name),
                                 all.size() == 1 ? "this is" : "there are", all.empty() ? "none" : served),
          .param = "model",
          .code = "model_not_found"};
}

ApiResult<const Tokenizer*> require_tokenizer(const ReadyModel& model) {
  if (model.tokenizer != nullptr) return model.tokenizer;
  return std::unexpected(
      ApiError{.status = 400, .message = "This model has no tokenizer; use /v1/completions with lists of token ids"});
}

ApiResult<void> require_chat_template(const ReadyModel& model) {
  if (model.chat_template != nullptr && model.tokenizer != nullptr) return {};
  if (model.chat_template_error != nullptr) {
    const std::string why = to_string(*model.chat_template_error);
    return std::unexpected(
        ApiError{.status = 400,
                 .message = fmt::format("This model cannot chat: {}. Use /v1/completions, or serve it "
                                        "with --chat-template FILE",
                                        why),
                 .param = "model",
                 .code = "no_chat_template"});
  }
  return std::unexpected(ApiError{.status = 400,
                                  .message = "This model has no chat template: it is a base model, made to continue "
                                             "text; use /v1/completions",
                                  .param = "model",
                                  .code = "no_chat_template"});
}

ApiResult<TextPrompt> encode_text(const Tokenizer& tokenizer, std::string_view text, const EncodeOptions& options,
                                  const std::string& param) {
  Result<std::vector<uint32_t>> ids = tokenizer.encode(text, options);
  if (!ids) return std::unexpected(text_error(ids.error(), param));
  TextPrompt prompt{.ids = *std::move(ids)};
  if (!options.add_special || prompt.ids.size() == options.max_tokens + 1) return prompt;
  const auto count = static_cast<std::ptrdiff_t>(tokenizer.ids_before_text());
  const auto text_begin = prompt.ids.begin() + count;
  const bool is_spelled =
      prompt.ids.end() - text_begin >= count && std::equal(prompt.ids.begin(), text_begin, text_begin);
  if (is_spelled) {
    prompt.ids.erase(prompt.ids.begin(), text_begin);
  } else {
    prompt.ids_before_text = static_cast<size_t>(count);
  }
  return prompt;
}

RequestLimits request_limits(const ReadyModel& model, const ServerOptions& options) {
  return {.default_sampling = model.default_sampling,
          .max_choices = options.max_choices,
          .vocabulary_size = model.vocabulary_size,
          .has_tokenizer = model.tokenizer != nullptr};
}

ApiError text_error(const Error& error, const std::string& param) {
  ApiError api_error = to_api_error(error);
  if (api_error.status == 400) api_error.param = param;
  return api_error;
}

std::vector<int32_t> to_signed(const std::vector<uint32_t>& ids) { return {ids.begin(), ids.end()}; }

std::vector<uint32_t> to_unsigned(const std::vector<int32_t>& ids) { return {ids.begin(), ids.end()}; }

}  // namespace hearth
