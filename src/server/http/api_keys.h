#pragma once

#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "engine/request.h"

namespace hearth {

/// The keys that clients may present, and whose they are. Without any, everybody is let in.
class ApiKeys {
 public:
  ApiKeys() = default;
  explicit ApiKeys(std::vector<std::string> keys);

  /// Reads a key from each line, and behind it, separated by spaces, what is known of its user, in any order:
  ///   name=NAME weight=W max-running=N max-waiting=N
  /// Keys of one name are one user's, and a key without a name is a user of its own. Empty lines and those that begin
  /// with '#' do not count. Errors: those of reading the file; invalid_argument, with file and line but never with a
  /// key, when it holds no key, or what cannot be understood.
  static Result<ApiKeys> read(const std::filesystem::path& path);

  /// The user of a key, if `authorization`, the value of that header, is "Bearer" and one of the keys. The time it
  /// takes does not tell how much of a key was right.
  const User* user_of(std::string_view authorization) const;

  bool are_asked_for() const { return !keys_.empty(); }

 private:
  struct Key {
    std::string key;
    User user;
  };
  std::vector<Key> keys_;
};

}  // namespace hearth
