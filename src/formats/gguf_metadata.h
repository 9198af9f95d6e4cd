#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <variant>
#include <vector>

#include "base/result.h"

namespace hearth {

/// Many strings in one piece of memory, for vocabularies of a quarter million tokens.
class StringArray {
 public:
  size_t size() const { return ends_.size(); }
  bool empty() const { return ends_.empty(); }
  std::string_view operator[](size_t index) const {
    const size_t begin = index == 0 ? 0 : ends_[index - 1];
    return std::string_view(text_).substr(begin, ends_[index] - begin);
  }

  /// Appends a string of `bytes` bytes and returns where to write them; valid until the next call.
  char* append(size_t bytes);
  void shrink_to_fit();

 private:
  std::string text_;
  std::vector<uint32_t> ends_;
};

/// One metadata value with the type that the file gave it. Arrays of bool are vectors of bytes marked as such.
struct BoolArray {
  std::vector<uint8_t> values;
};
using GgufValue = std::variant<uint8_t, int8_t, uint16_t, int16_t, uint32_t, int32_t, uint64_t, int64_t, float, double,
                               bool, std::string, std::vector<uint8_t>, std::vector<int8_t>, std::vector<uint16_t>,
                               std::vector<int16_t>, std::vector<uint32_t>, std::vector<int32_t>, std::vector<uint64_t>,
                               std::vector<int64_t>, std::vector<float>, std::vector<double>, BoolArray, StringArray>;

/// The key-value pairs of a GGUF file. A getter without a default fails with not_found when the key is absent; every
/// getter fails with `corrupt` when the value has another type or does not fit, naming the key and both types.
/// Integers of any width and sign serve as integers where the value fits; f32, f64 and whole numbers that it holds
/// exactly serve as f32, and a single one must be finite.
class GgufMetadata {
 public:
  bool contains(std::string_view key) const { return find(key) != nullptr; }
  const GgufValue* find(std::string_view key) const;

  Result<uint32_t> get_u32(std::string_view key) const;
  Result<uint64_t> get_u64(std::string_view key) const;
  Result<int64_t> get_i64(std::string_view key) const;
  Result<float> get_f32(std::string_view key) const;
  Result<bool> get_bool(std::string_view key) const;
  Result<std::string> get_string(std::string_view key) const;

  Result<uint32_t> get_u32(std::string_view key, uint32_t otherwise) const;
  Result<uint64_t> get_u64(std::string_view key, uint64_t otherwise) const;
  Result<int64_t> get_i64(std::string_view key, int64_t otherwise) const;
  Result<float> get_f32(std::string_view key, float otherwise) const;
  Result<bool> get_bool(std::string_view key, bool otherwise) const;
  Result<std::string> get_string(std::string_view key, std::string_view otherwise) const;

  /// Arrays; a getter converts element by element under the same rules. The strings belong to this object.
  Result<std::vector<uint32_t>> get_u32_array(std::string_view key) const;
  Result<std::vector<int32_t>> get_i32_array(std::string_view key) const;
  Result<std::vector<float>> get_f32_array(std::string_view key) const;
  Result<std::vector<bool>> get_bool_array(std::string_view key) const;
  Result<const StringArray*> get_string_array(std::string_view key) const;

  /// True when the value is an array of whatever type: some keys hold one number or one for each layer.
  bool is_array(std::string_view key) const;

  /// Keys in the order of the file.
  const std::vector<std::string>& keys() const { return keys_; }

  /// `corrupt` when the key is there already.
  Result<void> add(std::string key, GgufValue value);

  /// What error messages start with: the path of the file.
  void set_source(std::string source) { source_ = std::move(source); }
  const std::string& source() const { return source_; }

 private:
  Result<const GgufValue*> require(std::string_view key) const;

  struct NameHash {
    using is_transparent = void;
    size_t operator()(std::string_view name) const { return std::hash<std::string_view>{}(name); }
  };

  std::string source_;
  std::vector<std::string> keys_;
  std::unordered_map<std::string, GgufValue, NameHash, std::equal_to<>> values_;
};

}  // namespace hearth
