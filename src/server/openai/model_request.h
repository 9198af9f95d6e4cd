#pragma once

#include <functional>
#include <memory>
#include <nlohmann/json.hpp>

#include "server/api_error.h"
#include "server/http/message.h"
#include "server/http/reply.h"
#include "server/served_models.h"
#include "server/server_options.h"

namespace hearth {

/// A request for a model that is ready.
struct ModelRequest {
  std::shared_ptr<ServedModel> served;
  ModelLease model;
  const HttpRequest& http;
  const nlohmann::json& body;  ///< an object, or whatever else was sent
};

using ModelHandler = std::function<Reply(const ModelRequest&)>;

/// Parses the body, finds the model that it names, has it loaded, waits for it, and lets `handler` answer. Errors: 400,
/// 415 (the body), 404 (no such model), 503 (it could not be loaded, or not in time: Retry-After says when to ask
/// again). A client shortens the time with "Prefer: wait=SECONDS" (RFC 7240); 0 does not wait.
Reply answer_for_model(const ServedModels& models, const ServerOptions& options, const HttpRequest& request,
                       const ModelHandler& handler);

}  // namespace hearth
