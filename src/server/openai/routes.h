#pragma once

#include <memory>

#include "server/http/request_counters.h"
#include "server/http/router.h"
#include "server/served_models.h"
#include "server/server_options.h"

namespace hearth {

/// Everything that the server answers. `options` and `counters` must outlive the router.
void add_routes(Router& router, std::shared_ptr<ServedModels> models, const ServerOptions& options,
                const RequestCounters& counters);

}  // namespace hearth
