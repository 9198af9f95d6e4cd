#include "formats/gguf_metadata.h"

#include <fmt/format.h>

#include <cmath>
#include <concepts>
#include <limits>
#include <type_traits>
#include <utility>

#include "base/printable.h"

namespace hearth {
namespace {

// In the order of GgufValue.
constexpr std::string_view kTypeNames[] = {
    "u8",           "i8",           "u16",          "i16",          "u32",           "i32",
    "u64",          "i64",          "f32",          "f64",          "bool",          "a string",
    "array of u8",  "array of i8",  "array of u16", "array of i16", "array of u32",  "array of i32",
    "array of u64", "array of i64", "array of f32", "array of f64", "array of bool", "array of strings"};
static_assert(std::size(kTypeNames) == std::variant_size_v<GgufValue>);

template <class T>
concept Integer = std::integral<T> && !std::same_as<T, bool>;

template <class T>
constexpr std::string_view kWanted = "";
template <>
constexpr std::string_view kWanted<uint32_t> = "an integer from 0 to 4294967295";
template <>
constexpr std::string_view kWanted<int32_t> = "an integer of 32 bits";
template <>
constexpr std::string_view kWanted<uint64_t> = "an integer that is not negative";
template <>
constexpr std::string_view kWanted<int64_t> = "an integer of 64 bits";
template <>
constexpr std::string_view kWanted<float> = "f32, f64 or an integer up to 2^24";
template <>
constexpr std::string_view kWanted<bool> = "a truth value";

/// `value` as a Target under the rules of GgufMetadata; nothing when they do not allow it.
template <class Target, class Value>
std::optional<Target> convert(const Value& value) {
  if constexpr (std::same_as<Target, Value>) {
    return value;
  } else if constexpr (Integer<Target> && Integer<Value>) {
    if (std::in_range<Target>(value)) return static_cast<Target>(value);
  } else if constexpr (std::same_as<Target, float> && std::same_as<Value, double>) {
    return static_cast<float>(value);
  } else if constexpr (std::same_as<Target, float> && Integer<Value>) {
    // Whole numbers of either kind of spelling, as converters write them, if none of their digits is lost.
    constexpr int64_t kExact = int64_t{1} << std::numeric_limits<float>::digits;
    if (std::in_range<int64_t>(value) && static_cast<int64_t>(value) <= kExact &&
        static_cast<int64_t>(value) >= -kExact) {
      return static_cast<float>(value);
    }
  }
  return std::nullopt;
}

std::string describe(const GgufValue& value) {
  return std::visit(
      [&](const auto& v) -> std::string {
        const std::string_view type = kTypeNames[value.index()];
        if constexpr (std::is_arithmetic_v<std::decay_t<decltype(v)>>) {
          return fmt::format("{} ({})", v, type);
        } else {
          return std::string(type);
        }
      },
      value);
}

std::unexpected<Error> wrong_type(const std::string& source, std::string_view key, const GgufValue& value,
                                  std::string_view wanted) {
  return fail(ErrorCode::corrupt,
              fmt::format("{}: key {} must be {} and is {}", source, printable(key), wanted, describe(value)));
}

template <class Target>
Result<Target> scalar(const std::string& source, std::string_view key, const GgufValue& value) {
  const std::optional<Target> converted = std::visit([](const auto& v) { return convert<Target>(v); }, value);
  if (!converted) return wrong_type(source, key, value, kWanted<Target>);
  return *converted;
}

template <class T>
struct ElementOf {};
template <class T>
struct ElementOf<std::vector<T>> {
  using type = T;
};

/// Converts a numeric array element by element.
template <class Target>
Result<std::vector<Target>> array(const std::string& source, std::string_view key, const GgufValue& value) {
  std::vector<Target> out;
  const bool fits = std::visit(
      [&](const auto& v) {
        if constexpr (requires { typename ElementOf<std::decay_t<decltype(v)>>::type; }) {
          out.reserve(v.size());
          for (const auto element : v) {
            const auto converted = convert<Target>(element);
            if (!converted) return false;
            out.push_back(*converted);
          }
          return true;
        } else {
          return false;
        }
      },
      value);
  if (!fits) return wrong_type(source, key, value, fmt::format("an array, each element {}", kWanted<Target>));
  return out;
}

template <class T>
Result<T> with_default(const GgufMetadata& metadata, std::string_view key, T otherwise,
                       Result<T> (GgufMetadata::*get)(std::string_view) const) {
  return metadata.contains(key) ? (metadata.*get)(key) : Result<T>(std::move(otherwise));
}

}  // namespace

char* StringArray::append(size_t bytes) {
  text_.resize(text_.size() + bytes);
  ends_.push_back(static_cast<uint32_t>(text_.size()));
  return text_.data() + text_.size() - bytes;
}

void StringArray::shrink_to_fit() {
  text_.shrink_to_fit();
  ends_.shrink_to_fit();
}

const GgufValue* GgufMetadata::find(std::string_view key) const {
  const auto found = values_.find(key);
  return found == values_.end() ? nullptr : &found->second;
}

Result<const GgufValue*> GgufMetadata::require(std::string_view key) const {
  const GgufValue* value = find(key);
  if (!value) {
    return fail(ErrorCode::not_found, fmt::format("{}: the metadata have no key {}", source_, printable(key)));
  }
  return value;
}

Result<uint32_t> GgufMetadata::get_u32(std::string_view key) const {
  auto value = require(key);
  if (!value) return pass_on(value);
  return scalar<uint32_t>(source_, key, **value);
}

Result<uint64_t> GgufMetadata::get_u64(std::string_view key) const {
  auto value = require(key);
  if (!value) return pass_on(value);
  return scalar<uint64_t>(source_, key, **value);
}

Result<int64_t> GgufMetadata::get_i64(std::string_view key) const {
  auto value = require(key);
  if (!value) return pass_on(value);
  return scalar<int64_t>(source_, key, **value);
}

Result<float> GgufMetadata::get_f32(std::string_view key) const {
  auto value = require(key);
  if (!value) return pass_on(value);
  auto number = scalar<float>(source_, key, **value);
  if (number && !std::isfinite(*number)) return wrong_type(source_, key, **value, "a finite number");
  return number;
}

Result<bool> GgufMetadata::get_bool(std::string_view key) const {
  auto value = require(key);
  if (!value) return pass_on(value);
  return scalar<bool>(source_, key, **value);
}

Result<std::string> GgufMetadata::get_string(std::string_view key) const {
  auto value = require(key);
  if (!value) return pass_on(value);
  const auto* text = std::get_if<std::string>(*value);
  if (!text) return wrong_type(source_, key, **value, "a string");
  return *text;
}

Result<uint32_t> GgufMetadata::get_u32(std::string_view key, uint32_t otherwise) const {
  return with_default<uint32_t>(*this, key, otherwise, &GgufMetadata::get_u32);
}
Result<uint64_t> GgufMetadata::get_u64(std::string_view key, uint64_t otherwise) const {
  return with_default<uint64_t>(*this, key, otherwise, &GgufMetadata::get_u64);
}
Result<int64_t> GgufMetadata::get_i64(std::string_view key, int64_t otherwise) const {
  return with_default<int64_t>(*this, key, otherwise, &GgufMetadata::get_i64);
}
Result<float> GgufMetadata::get_f32(std::string_view key, float otherwise) const {
  return with_default<float>(*this, key, otherwise, &GgufMetadata::get_f32);
}
Result<bool> GgufMetadata::get_bool(std::string_view key, bool otherwise) const {
  return with_default<bool>(*this, key, otherwise, &GgufMetadata::get_bool);
}
Result<std::string> GgufMetadata::get_string(std::string_view key, std::string_view otherwise) const {
  return with_default<std::string>(*this, key, std::string(otherwise), &GgufMetadata::get_string);
}

Result<std::vector<uint32_t>> GgufMetadata::get_u32_array(std::string_view key) const {
  auto value = require(key);
  if (!value) return pass_on(value);
  return array<uint32_t>(source_, key, **value);
}

Result<std::vector<int32_t>> GgufMetadata::get_i32_array(std::string_view key) const {
  auto value = require(key);
  if (!value) return pass_on(value);
  return array<int32_t>(source_, key, **value);
}

Result<std::vector<float>> GgufMetadata::get_f32_array(std::string_view key) const {
  auto value = require(key);
  if (!value) return pass_on(value);
  return array<float>(source_, key, **value);
}

Result<std::vector<bool>> GgufMetadata::get_bool_array(std::string_view key) const {
  auto value = require(key);
  if (!value) return pass_on(value);
  const auto* found = std::get_if<BoolArray>(*value);
  if (!found) return wrong_type(source_, key, **value, "an array of bool");
  return std::vector<bool>(found->values.begin(), found->values.end());
}

Result<const StringArray*> GgufMetadata::get_string_array(std::string_view key) const {
  auto value = require(key);
  if (!value) return pass_on(value);
  const auto* found = std::get_if<StringArray>(*value);
  if (!found) return wrong_type(source_, key, **value, "an array of strings");
  return found;
}

bool GgufMetadata::is_array(std::string_view key) const {
  constexpr size_t kFirstArray = 12;  // in GgufValue
  static_assert(std::same_as<std::variant_alternative_t<kFirstArray, GgufValue>, std::vector<uint8_t>>);
  const GgufValue* value = find(key);
  return value && value->index() >= kFirstArray;
}

Result<void> GgufMetadata::add(std::string key, GgufValue value) {
  if (!values_.emplace(key, std::move(value)).second) {
    return fail(ErrorCode::corrupt, fmt::format("{}: key {} is there twice", source_, printable(key)));
  }
  keys_.push_back(std::move(key));
  return {};
}

}  // namespace hearth
