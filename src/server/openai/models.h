#pragma once

#include <string_view>

#include "server/http/message.h"
#include "server/served_model.h"

namespace hearth {

/// GET /v1/models: the model, once under each of its names.
HttpResponse list_models(const ServedModel& model);

/// GET /v1/models/{id}
HttpResponse describe_model(const ServedModel& model, std::string_view id);

}  // namespace hearth
