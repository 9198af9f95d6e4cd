#pragma once

#include <nlohmann/json.hpp>
#include <string>

namespace hearth::app {

/// For people, from what examine_machine gives.
std::string machine_text(const nlohmann::ordered_json& report);

/// The parts of it about AMD's drivers, each with an empty line in front.
std::string amd_gpus_text(const nlohmann::ordered_json& report);
std::string npus_text(const nlohmann::ordered_json& report);

/// Of "npu_comparison"; empty where that is null.
std::string npu_comparison_text(const nlohmann::ordered_json& comparison);

}  // namespace hearth::app
