#pragma once

#include <nlohmann/json.hpp>
#include <string>

#include "app/model_plan.h"
#include "app/predicted_speed.h"

namespace hearth::app {

/// For people: a table of what goes where, and what has room.
std::string plan_text(const ModelPlan& plan, const PredictedSpeed& speed);

/// The same for programs. Bytes; null where nobody knows.
nlohmann::ordered_json plan_json(const ModelPlan& plan, const PredictedSpeed& speed);

}  // namespace hearth::app
