#pragma once

#include <string>

#include "server/http/request_counters.h"
#include "server/served_models.h"

namespace hearth {

/// GET /metrics in Prometheus' text format, with vLLM's names, so that routers and dashboards made for it work.
/// Before the model is ready only hearth's own metrics are there.
std::string metrics_text(const ServedModels& models, const RequestCounters& counters);

}  // namespace hearth
