#pragma once

#include <nlohmann/json.hpp>
#include <string>

namespace hearth::app {

/// For people, from what examine_model gives.
std::string model_text(const nlohmann::ordered_json& report);

}  // namespace hearth::app
