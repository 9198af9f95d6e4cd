#pragma once

#include <nlohmann/json.hpp>
#include <string>

#include "app/step_profiler.h"

namespace hearth::app {

/// A step's operations in a table: time, share of the step, bytes, GB/s and share of `bandwidth` (GB/s; 0 where it was
/// not measured). What the operations leave of the step is a line of its own.
std::string profile_table(const ProfiledStep& step, double bandwidth);

/// The same as an object. share_of_bandwidth is null where there is none, or where it cannot be one: more than all
/// means that the bytes came from a cache.
nlohmann::ordered_json profile_json(const ProfiledStep& step, double bandwidth);

}  // namespace hearth::app
