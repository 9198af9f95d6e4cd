#pragma once

#include <cstdint>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "server/api_error.h"

namespace hearth {

/// Takes typed values out of a JSON object that a client sent. A field that is absent or null leaves its target as it
/// is; the first wrong type or value is kept as an error that names the field, and later ones do not replace it.
class Fields {
 public:
  /// `object` must outlive this. `path` stands before the names of fields in errors: "stream_options".
  explicit Fields(const nlohmann::json& object, std::string path = "");

  /// The field, or null when it is absent, or is a JSON null.
  const nlohmann::json* find(std::string_view name) const;
  bool has(std::string_view name) const { return find(name) != nullptr; }

  void read(std::string_view name, bool& out);
  void read(std::string_view name, std::string& out);
  /// A whole number in [low, high]; 3.0 counts as one.
  void read(std::string_view name, uint32_t& out, int64_t low, int64_t high);
  void read(std::string_view name, int32_t& out, int64_t low, int64_t high);
  void read(std::string_view name, std::optional<uint32_t>& out, int64_t low, int64_t high);
  void read(std::string_view name, float& out, double low, double high);
  /// Any whole number of 64 bits; negative ones wrap around.
  void read(std::string_view name, std::optional<uint64_t>& out);
  void read(std::string_view name, std::vector<int32_t>& out);
  void read_strings(std::string_view name, std::vector<std::string>& out, size_t max_count);

  /// The field must be absent, null, false, empty, or equal to `harmless`: silently ignoring anything else would
  /// answer another question than was asked.
  void refuse(std::string_view name, const nlohmann::json& harmless = nullptr);

  /// The field must be absent or null: there is no value of it that asks for nothing.
  void refuse_any(std::string_view name);

  void fail(std::string_view name, std::string message);

  /// The first error, if any.
  const std::optional<ApiError>& error() const { return error_; }
  void fail(ApiError error);

  /// "stream_options.include_usage"
  std::string path_of(std::string_view name) const;

 private:
  std::optional<int64_t> whole_number(std::string_view name, int64_t low, int64_t high);

  const nlohmann::json& object_;
  const std::string path_;
  std::optional<ApiError> error_;
};

/// "a string", "a list": how errors name the type of a value.
std::string_view type_name(const nlohmann::json& value);

/// A token id: a whole number in [0, 2^31).
std::optional<int32_t> token_id(const nlohmann::json& value);

}  // namespace hearth
