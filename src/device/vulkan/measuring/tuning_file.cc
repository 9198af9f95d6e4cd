#include "device/vulkan/measuring/tuning_file.h"

#include <fmt/format.h>

#include <cmath>

#include "base/file.h"
#include "base/json.h"
#include "device/vulkan/gpu/kept_file.h"

namespace hearth::vulkan {
namespace {

using Json = nlohmann::json;

/// What the layout of the file, and the meaning of its fields, go by.
constexpr uint32_t kVersion = 1;
constexpr uint64_t kMostBytes = 16 << 20;

std::span<const std::byte> bytes_of(std::string_view text) { return std::as_bytes(std::span(text)); }

/// A member of an object if it is there and of this type.
template <class T>
std::optional<T> member(const Json& object, const char* name) {
  if (!object.is_object() || !object.contains(name)) return {};
  const Json& value = object[name];
  if constexpr (std::is_same_v<T, std::string>) {
    if (value.is_string()) return value.get<std::string>();
  } else if constexpr (std::is_same_v<T, double>) {
    if (value.is_number()) return value.get<double>();
  } else {
    if (value.is_number_unsigned() && value.get<uint64_t>() <= UINT32_MAX) return value.get<uint32_t>();
  }
  return {};
}

const Json& list(const Json& object, const char* name) {
  static const Json kNone = Json::array();
  return object.is_object() && object.contains(name) && object[name].is_array() ? object[name] : kNone;
}

bool is_time(const std::optional<double>& microseconds) {
  return microseconds && std::isfinite(*microseconds) && *microseconds > 0;
}

std::optional<std::pair<uint32_t, MeasuredTuning>> read_choice(const Json& choice) {
  const auto tokens = member<uint32_t>(choice, "tokens");
  const auto seconds = member<double>(choice, "microseconds"), table = member<double>(choice, "table_microseconds");
  if (!tokens || !is_time(seconds) || !is_time(table)) return {};
  if (!choice.contains("tuning") || !choice["tuning"].is_object()) return {};
  MeasuredTuning measured = {
      .changes = {}, .seconds = *seconds * 1e-6, .table_seconds = *table * 1e-6, .origin = TuningOrigin::kept};
  for (const auto& [name, value] : choice["tuning"].items()) {
    const auto number = member<uint32_t>(choice["tuning"], name.c_str());
    if (!number) return {};
    measured.changes[name] = *number;
  }
  Tuning any;
  if (!change_tuning(measured.changes, any) || !(measured.changes.empty() || changes_matmuls(measured.changes))) {
    return {};
  }
  return {{*tokens, std::move(measured)}};
}

}  // namespace

nlohmann::ordered_json to_json(const MeasuredTunings& measured) {
  auto operations = nlohmann::ordered_json::array();
  for (const auto& [shape, by_tokens] : measured) {
    auto choices = nlohmann::ordered_json::array();
    for (const auto& [tokens, one] : by_tokens) {
      choices.push_back({{"tokens", tokens},
                         {"tuning", one.changes},
                         {"microseconds", one.seconds * 1e6},
                         {"table_microseconds", one.table_seconds * 1e6}});
    }
    operations.push_back({{"operation", shape}, {"choices", std::move(choices)}});
  }
  return operations;
}

TuningFile::TuningFile(const std::filesystem::path& folder, const GpuProperties& properties, const Tuning& table,
                       uint64_t shaders)
    : device_(properties.name + ", " + properties.driver) {
  uint64_t code = hash_of(bytes_of(fmt::format("{} {:x} ", kVersion, shaders)));
  code = hash_of(bytes_of(text_of(all_fields(table))), code);
  key_ = kept_name(properties, code);
  if (!folder.empty()) path_ = folder / (key_ + ".json");
}

Result<MeasuredTunings> TuningFile::read() const {
  if (path_.empty()) return {};
  auto text = read_whole_file(path_, kMostBytes);
  if (!text && text.error().code == ErrorCode::not_found) return {};
  if (!text) return pass_on(text);
  auto json = parse_json(*text, path_.string());
  if (!json) return pass_on(json);
  if (member<std::string>(*json, "key") != key_) {
    return fail(ErrorCode::corrupt, path_.string() + ": measured for another device, driver or version of hearth");
  }
  MeasuredTunings measured;
  for (const Json& operation : list(*json, "operations")) {
    const auto shape = member<std::string>(operation, "operation");
    for (const Json& choice : list(operation, "choices")) {
      auto read = read_choice(choice);
      if (!shape || !read) {
        return fail(ErrorCode::corrupt, fmt::format("{}: {} is no choice of tuning", path_.string(), choice.dump()));
      }
      measured[*shape].insert(std::move(*read));
    }
  }
  return measured;
}

Result<void> TuningFile::write(const MeasuredTunings& measured) const {
  if (path_.empty()) return {};
  const nlohmann::ordered_json json = {{"key", key_}, {"device", device_}, {"operations", to_json(measured)}};
  const std::string text = json.dump(1, ' ', false, nlohmann::ordered_json::error_handler_t::replace) + "\n";
  return replace_file(path_, bytes_of(text), "measured tuning");
}

}  // namespace hearth::vulkan
