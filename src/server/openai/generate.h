#pragma once

#include "server/http/message.h"
#include "server/http/reply.h"
#include "server/served_model.h"
#include "server/server_options.h"

namespace hearth {

/// POST /v1/completions and /v1/chat/completions, up to what the engine shall do: the body is parsed and checked,
/// templates are rendered, texts become token ids. Safe from any thread; takes as long as the prompt is.
Reply generate_completion(const ServedModel& model, const ServerOptions& options, const HttpRequest& request);
Reply generate_chat(const ServedModel& model, const ServerOptions& options, const HttpRequest& request);

}  // namespace hearth
