#pragma once

#include <memory>
#include <vector>

#include "server/http/reply.h"
#include "server/served_models.h"

namespace hearth {

/// GET /v1/load: server-sent events of how `models` are loaded, {"model", "state", ...} as state_json has it: one for
/// each at once, then one for each change, until none is being loaded.
std::unique_ptr<PendingReply> load_events(std::vector<std::shared_ptr<ServedModel>> models);

}  // namespace hearth
