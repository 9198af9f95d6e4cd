#pragma once

#include "server/http/message.h"
#include "server/served_model.h"
#include "server/server_options.h"

namespace hearth {

/// POST /tokenize: {"prompt"} or {"messages"} to {"count", "max_model_len", "tokens", "token_strs"}, as in vLLM.
HttpResponse tokenize(const ServedModel& model, const ServerOptions& options, const HttpRequest& request);

/// POST /detokenize: {"tokens"} to {"prompt"}.
HttpResponse detokenize(const ServedModel& model, const ServerOptions& options, const HttpRequest& request);

}  // namespace hearth
