#pragma once

#include <nlohmann/json.hpp>
#include <vector>

#include "server/openai/generation_params.h"
#include "text/chat_template.h"
#include "text/tokenizer.h"

namespace hearth {

/// POST /v1/chat/completions
struct ChatRequest {
  GenerationParams params;
  ChatTemplateInputs inputs;
};

ApiResult<ChatRequest> parse_chat_request(const nlohmann::json& body, const RequestLimits& limits);

/// Messages and what else a template is given; also what /tokenize takes. What is wrong is left in `fields`.
ChatTemplateInputs read_template_inputs(Fields& fields);

/// The prompt's token ids; `max_tokens` is as in EncodeOptions. 400 when the template refuses the messages.
ApiResult<std::vector<int32_t>> render_chat(const ChatTemplate& chat_template, const Tokenizer& tokenizer,
                                            const ChatTemplateInputs& inputs, size_t max_tokens = kAnyNumberOfTokens);

}  // namespace hearth
