#pragma once

#include <nlohmann/json.hpp>
#include <string_view>

#include "server/served_model.h"

namespace hearth {

/// "unloaded", "unloading", "loading", "ready" or "failed".
std::string_view state_name(const ServedModel::State& state);

/// {"state"}, and what else there is to say: of a load its stage, layer, bytes, rate and time left; of a failure the
/// error.
nlohmann::ordered_json state_json(const ServedModel::State& state);

/// Seconds after which a client may ask again for a model that is being loaded.
unsigned retry_after_seconds(const ServedModel::State& state);

}  // namespace hearth
