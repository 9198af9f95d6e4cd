#pragma once

#include <nlohmann/json.hpp>

namespace hearth::app {

/// What hearth will use of a Vulkan device, as describe_gpus has it, and what it lacks with what that costs: sentences,
/// in one object of "uses" and "lacks". Both are empty for a device that hearth cannot run on.
nlohmann::ordered_json gpu_notes(const nlohmann::ordered_json& gpu);

}  // namespace hearth::app
