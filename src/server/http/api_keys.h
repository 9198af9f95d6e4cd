#pragma once

#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace hearth {

/// The keys that clients may present. Without any, everybody is let in.
class ApiKeys {
 public:
  ApiKeys() = default;
  explicit ApiKeys(std::vector<std::string> keys) : keys_(std::move(keys)) {}

  /// Reads one key a line; empty lines and those that begin with '#' do not count. Errors: those of reading the file;
  /// invalid_argument when it holds no key, or one with a space or a control character inside.
  static Result<ApiKeys> read(const std::filesystem::path& path);

  /// Whether `authorization`, the value of that header, is "Bearer" and one of the keys. The time it takes does not
  /// tell how much of a key was right.
  bool admit(std::string_view authorization) const;

  bool are_asked_for() const { return !keys_.empty(); }

 private:
  std::vector<std::string> keys_;
};

}  // namespace hearth
