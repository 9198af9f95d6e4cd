#include "app/machine_values.h"

#include <fmt/format.h>

#include <cmath>

namespace hearth::app {

using Json = nlohmann::ordered_json;

std::string gigabytes(const Json& bytes) {
  return bytes.is_number() ? fmt::format("{:.1f} GB", bytes.get<double>() / 1e9) : "unknown";
}

std::string value_text(const std::string& name, const Json& value) {
  // Null devices of drivers have ticks of no finite length.
  if (value.is_null() || (value.is_number_float() && !std::isfinite(value.get<double>()))) return "no";
  if (value.is_boolean()) return value.get<bool>() ? "yes" : "no";
  if (value.is_string()) return value.get<std::string>();
  if (value.is_array()) {
    std::string text;
    for (const Json& item : value) text += (text.empty() ? "" : ", ") + value_text(name, item);
    return text.empty() ? "none" : text;
  }
  if (name.ends_with("_id")) return fmt::format("{:#06x}", value.get<uint32_t>());
  if (name == "shared_memory_bytes") return fmt::format("{} KiB", value.get<uint64_t>() / 1024);
  if (name.ends_with("_bytes")) return gigabytes(value);
  return value.dump();
}

std::string property(const std::string& name, const std::string& value) {
  return fmt::format("  {:26} {}\n", name, value);
}

}  // namespace hearth::app
