#pragma once

#include <chrono>
#include <stop_token>

namespace hearth {

/// Sleeps; false when `stop` was requested before the time was over.
bool sleep_for(std::chrono::milliseconds time, const std::stop_token& stop);

}  // namespace hearth
