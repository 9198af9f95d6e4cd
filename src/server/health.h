#pragma once

#include "server/http/message.h"
#include "server/served_model.h"

namespace hearth {

/// GET /health: 200 when the model is ready; else 503, with the stage of loading and its fraction, or what failed.
HttpResponse health(const ServedModel& model);

}  // namespace hearth
