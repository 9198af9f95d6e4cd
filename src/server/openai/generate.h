#pragma once

#include "server/http/reply.h"
#include "server/openai/model_request.h"
#include "server/server_options.h"

namespace hearth {

/// POST /v1/completions and /v1/chat/completions, up to what the engine shall do: the body is checked,
/// templates are rendered, texts become token ids. Safe from any thread; takes as long as the prompt is.
Reply generate_completion(const ModelRequest& request, const ServerOptions& options);
Reply generate_chat(const ModelRequest& request, const ServerOptions& options);

}  // namespace hearth
