#pragma once

#include "server/http/message.h"
#include "server/served_models.h"

namespace hearth {

/// GET /health: 200 when a model is ready, or all wait for a request that wants them; 503 while the first one is being
/// loaded, with how far that is, or where nothing could be loaded, with what failed. Of several models the state of
/// each.
HttpResponse health(const ServedModels& models);

}  // namespace hearth
