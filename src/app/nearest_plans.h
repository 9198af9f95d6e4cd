#pragma once

#include <functional>
#include <string>
#include <vector>

#include "app/model_plan.h"
#include "app/open_model.h"
#include "base/result.h"

namespace hearth::app {

/// What is asked of a plan, as on the command line.
struct PlanRequest {
  DeviceOptions device;
  EngineOptions engine;
  LayerCut cut;
};

using MakePlan = std::function<Result<ModelPlan>(const PlanRequest& request)>;

/// Where a plan does not fit, those nearest to it that do, each as the options to type: a shorter context, smaller
/// steps, another device. Empty where none of them helps.
std::vector<std::string> nearest_plans(const PlanRequest& request, const MakePlan& make_plan);

}  // namespace hearth::app
