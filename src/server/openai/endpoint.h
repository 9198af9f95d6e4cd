#pragma once

#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>
#include <vector>

#include "server/api_error.h"
#include "server/http/message.h"
#include "server/openai/generation_params.h"
#include "server/served_models.h"
#include "server/server_options.h"
#include "text/tokenizer.h"

namespace hearth {

/// The request's body as JSON. Broken JSON, names that stand twice in an object, and nesting that is too deep are 400;
/// a body that says to be something else is 415.
ApiResult<nlohmann::json> parse_body(const HttpRequest& request);

/// 404 that says what is served here instead of `name`.
ApiError unknown_model(const ServedModels& models, std::string_view name);

/// The tokenizer, or 400 that says that the model has none.
ApiResult<const Tokenizer*> require_tokenizer(const ReadyModel& model);

/// 400 that points at /v1/completions unless the model has a chat template (and the tokenizer that goes with it); where
/// its own cannot be used, with the template's words.
ApiResult<void> require_chat_template(const ReadyModel& model);

/// A raw prompt's tokens.
struct TextPrompt {
  std::vector<uint32_t> ids;
  size_t ids_before_text = 0;  ///< of them the text spells none
};

/// The tokens of a raw prompt, `param` of the request. What the model was trained to see before a text (begin of
/// sequence) is not put there again where the text spells it itself, as one does to which a chat template was applied.
ApiResult<TextPrompt> encode_text(const Tokenizer& tokenizer, std::string_view text, const EncodeOptions& options,
                                  const std::string& param);

RequestLimits request_limits(const ReadyModel& model, const ServerOptions& options);

/// Errors of the text layer: what it refuses is what the client sent in `param`.
ApiError text_error(const Error& error, const std::string& param);

/// Token ids as the engine counts them, and as the text layer does.
std::vector<int32_t> to_signed(const std::vector<uint32_t>& ids);
std::vector<uint32_t> to_unsigned(const std::vector<int32_t>& ids);

}  // namespace hearth
