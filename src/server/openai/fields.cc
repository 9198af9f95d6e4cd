#include "server/openai/fields.h"

#include <fmt/format.h>

#include <cmath>
#include <limits>
#include <utility>

namespace hearth {
namespace {

using nlohmann::json;

/// The value as a whole number; 3.0 is one, 3.5 and 1e300 are not.
std::optional<int64_t> as_whole_number(const json& value) {
  if (value.is_number_unsigned()) {
    const auto number = value.get<uint64_t>();
    if (number > static_cast<uint64_t>(std::numeric_limits<int64_t>::max())) return std::nullopt;
    return static_cast<int64_t>(number);
  }
  if (value.is_number_integer()) return value.get<int64_t>();
  if (!value.is_number_float()) return std::nullopt;
  const double number = value.get<double>();
  if (std::abs(number) > 0x1p53 || number != std::floor(number)) return std::nullopt;
  return static_cast<int64_t>(number);
}

bool is_harmless(const json& value) {
  if (value.is_string()) return value.get_ref<const std::string&>().empty();
  return value.is_null() || value == false || (value.is_structured() && value.empty());
}

}  // namespace

std::string_view type_name(const json& value) {
  switch (value.type()) {
    case json::value_t::null:
      return "null";
    case json::value_t::boolean:
      return "a boolean";
    case json::value_t::string:
      return "a string";
    case json::value_t::array:
      return "a list";
    case json::value_t::object:
      return "an object";
    default:
      return "a number";
  }
}

std::optional<int32_t> token_id(const json& value) {
  if (!value.is_number_integer()) return std::nullopt;
  const std::optional<int64_t> number = as_whole_number(value);
  if (!number || *number < 0 || *number > std::numeric_limits<int32_t>::max()) return std::nullopt;
  return static_cast<int32_t>(*number);
}

Fields::Fields(const json& object, std::string path) : object_(object), path_(std::move(path)) {
  if (!object_.is_object()) {
    fail({.status = 400,
          .message = fmt::format("{} must be an object, not {}", path_.empty() ? "The request body" : path_,
                                 type_name(object_)),
          .param = path_.empty() ? std::nullopt : std::optional(path_)});
  }
}

std::string Fields::path_of(std::string_view name) const {
  return path_.empty() ? std::string(name) : fmt::format("{}.{}", path_, name);
}

const json* Fields::find(std::string_view name) const {
  if (!object_.is_object()) return nullptr;
  const auto at = object_.find(name);
  return at == object_.end() || at->is_null() ? nullptr : &*at;
}

void Fields::fail(ApiError error) {
  if (!error_) error_ = std::move(error);
}

void Fields::fail(std::string_view name, std::string message) {
  const std::string path = path_of(name);
  fail({.status = 400, .message = fmt::format("{}: {}", path, message), .param = path});
}

void Fields::read(std::string_view name, bool& out) {
  const json* value = find(name);
  if (value == nullptr) return;
  if (!value->is_boolean()) return fail(name, fmt::format("must be true or false, not {}", type_name(*value)));
  out = value->get<bool>();
}

void Fields::read(std::string_view name, std::string& out) {
  const json* value = find(name);
  if (value == nullptr) return;
  if (!value->is_string()) return fail(name, fmt::format("must be a string, not {}", type_name(*value)));
  out = value->get<std::string>();
}

std::optional<int64_t> Fields::whole_number(std::string_view name, int64_t low, int64_t high) {
  const json* value = find(name);
  if (value == nullptr) return std::nullopt;
  const std::optional<int64_t> number = as_whole_number(*value);
  if (!value->is_number()) {
    fail(name, fmt::format("must be a whole number, not {}", type_name(*value)));
  } else if (!number || *number < low || *number > high) {
    fail(name, fmt::format("must be a whole number from {} to {}, not {}", low, high, value->dump()));
  } else {
    return number;
  }
  return std::nullopt;
}

void Fields::read(std::string_view name, uint32_t& out, int64_t low, int64_t high) {
  if (const auto number = whole_number(name, low, high)) out = static_cast<uint32_t>(*number);
}

void Fields::read(std::string_view name, int32_t& out, int64_t low, int64_t high) {
  if (const auto number = whole_number(name, low, high)) out = static_cast<int32_t>(*number);
}

void Fields::read(std::string_view name, std::optional<uint32_t>& out, int64_t low, int64_t high) {
  if (const auto number = whole_number(name, low, high)) out = static_cast<uint32_t>(*number);
}

void Fields::read(std::string_view name, float& out, double low, double high) {
  const json* value = find(name);
  if (value == nullptr) return;
  if (!value->is_number()) return fail(name, fmt::format("must be a number, not {}", type_name(*value)));
  const double number = value->get<double>();
  if (!(number >= low && number <= high)) {
    return fail(name, fmt::format("must be a number from {} to {}, not {}", low, high, value->dump()));
  }
  out = static_cast<float>(number);
}

void Fields::read(std::string_view name, std::optional<uint64_t>& out) {
  const json* value = find(name);
  if (value == nullptr) return;
  if (value->is_number_unsigned()) {
    out = value->get<uint64_t>();
  } else if (const auto number = as_whole_number(*value)) {
    out = static_cast<uint64_t>(*number);
  } else {
    fail(name, fmt::format("must be a whole number of 64 bits, not {}", type_name(*value)));
  }
}

void Fields::read(std::string_view name, std::vector<int32_t>& out) {
  const json* value = find(name);
  if (value == nullptr) return;
  if (!value->is_array()) return fail(name, fmt::format("must be a list of token ids, not {}", type_name(*value)));
  std::vector<int32_t> ids;
  ids.reserve(value->size());
  for (size_t i = 0; i < value->size(); ++i) {
    const std::optional<int32_t> id = token_id((*value)[i]);
    if (!id) return fail(fmt::format("{}[{}]", name, i), "must be a token id");
    ids.push_back(*id);
  }
  out = std::move(ids);
}

void Fields::read_strings(std::string_view name, std::vector<std::string>& out, size_t max_count) {
  const json* value = find(name);
  if (value == nullptr) return;
  if (value->is_string()) {
    out = {value->get<std::string>()};
    return;
  }
  if (!value->is_array()) {
    return fail(name, fmt::format("must be a string or a list of strings, not {}", type_name(*value)));
  }
  if (value->size() > max_count) {
    return fail(name, fmt::format("must be at most {} strings, not {}", max_count, value->size()));
  }
  std::vector<std::string> strings;
  for (size_t i = 0; i < value->size(); ++i) {
    const json& item = (*value)[i];
    if (!item.is_string()) {
      return fail(fmt::format("{}[{}]", name, i), fmt::format("must be a string, not {}", type_name(item)));
    }
    strings.push_back(item.get<std::string>());
  }
  out = std::move(strings);
}

void Fields::refuse(std::string_view name, const json& harmless) {
  const json* value = find(name);
  if (value != nullptr && !is_harmless(*value) && *value != harmless) refuse_any(name);
}

void Fields::refuse_any(std::string_view name) {
  if (!has(name)) return;
  fail({.status = 400,
        .message = fmt::format("{} is not supported by this version; leave it out", path_of(name)),
        .param = path_of(name),
        .code = "unsupported_parameter"});
}

}  // namespace hearth
