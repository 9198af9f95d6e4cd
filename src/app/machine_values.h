#pragma once

#include <nlohmann/json.hpp>
#include <string>

namespace hearth::app {

/// "17.2 GB", or "unknown" for null.
std::string gigabytes(const nlohmann::ordered_json& bytes);

/// A property for people: sizes with a unit by the end of its name, lists in one line.
std::string value_text(const std::string& name, const nlohmann::ordered_json& value);

/// "  name                       value", a line.
std::string property(const std::string& name, const std::string& value);

}  // namespace hearth::app
