#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace hearth {

/// Looks for strings that end a text, in pieces of it as they arrive. The result does not depend on where the pieces
/// are cut: the match that is complete first counts, and of two that end together the longer one.
class StopStrings {
 public:
  /// Empty strings are left out.
  explicit StopStrings(std::vector<std::string> strings);

  /// Appends to `out` what can no longer become part of a stop string. When one is complete, returns it: `out` then
  /// has the text before it, and nothing more may be pushed.
  std::optional<std::string> push(std::string_view piece, std::string& out);

  /// The end of the text: appends what was held back.
  void flush(std::string& out);

 private:
  struct Match {
    size_t begin = 0;
    size_t end = 0;
    const std::string* string = nullptr;
  };

  std::optional<Match> first_match(size_t searched) const;
  size_t longest_possible_start() const;

  std::vector<std::string> strings_;
  std::string held_;  ///< may be the start of a stop string
};

}  // namespace hearth
