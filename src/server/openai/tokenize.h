#pragma once

#include "server/http/message.h"
#include "server/openai/model_request.h"
#include "server/server_options.h"

namespace hearth {

/// POST /tokenize: {"prompt"} or {"messages"} to {"count", "max_model_len", "tokens", "token_strs"}, as in vLLM.
HttpResponse tokenize(const ModelRequest& request);

/// POST /detokenize: {"tokens"} to {"prompt"}.
HttpResponse detokenize(const ModelRequest& request, const ServerOptions& options);

}  // namespace hearth
