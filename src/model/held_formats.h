#pragma once

#include <span>
#include <string>

#include "model/weight_plan.h"

namespace hearth {

/// "q3_k as q6_k (3.10 GB in the file, 5.92 GB in memory)", of the sources that devices hold in another format, if any:
/// they have no code for the file's (tensor/recode.h).
std::string describe_held_formats(std::span<const WeightPlan::Source> sources);

}  // namespace hearth
