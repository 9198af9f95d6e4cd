#pragma once

#include "server/http/message.h"
#include "server/http/reply.h"
#include "server/served_models.h"

namespace hearth {

/// GET /v1/models: each model, once under each of its names, with its state.
HttpResponse list_models(const ServedModels& models);

/// GET /v1/models/{id}; GET /v1/models/{id}/load is load_events of this one.
Reply describe_model(const ServedModels& models, const HttpRequest& request);

/// POST /v1/models/{id}/load and /v1/models/{id}/unload: 202 and the state that follows from it.
HttpResponse load_or_unload(const ServedModels& models, const HttpRequest& request);

/// DELETE /v1/models/{id}/load: ends the load of this model, and nothing where none is under way.
HttpResponse cancel_load(const ServedModels& models, const HttpRequest& request);

/// DELETE /v1/load: ends every load.
HttpResponse cancel_loads(const ServedModels& models);

}  // namespace hearth
