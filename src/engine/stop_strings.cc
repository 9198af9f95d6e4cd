#include "engine/stop_strings.h"

#include <algorithm>

namespace hearth {

StopStrings::StopStrings(std::vector<std::string> strings) : strings_(std::move(strings)) {
  std::erase(strings_, std::string());
}

std::optional<std::string> StopStrings::push(std::string_view piece, std::string& out) {
  if (strings_.empty()) {
    out += piece;
    return std::nullopt;
  }
  const size_t searched = held_.size();
  held_ += piece;
  if (const auto match = first_match(searched)) {
    out.append(held_, 0, match->begin);
    held_.clear();
    return *match->string;
  }
  const size_t sure = held_.size() - longest_possible_start();
  out.append(held_, 0, sure);
  held_.erase(0, sure);
  return std::nullopt;
}

void StopStrings::flush(std::string& out) {
  out += held_;
  held_.clear();
}

std::optional<StopStrings::Match> StopStrings::first_match(size_t searched) const {
  std::optional<Match> best;
  for (const std::string& string : strings_) {
    // A match ends in the new piece, so it starts at most its length before it.
    const size_t from = searched - std::min(searched, string.size() - 1);
    const size_t begin = held_.find(string, from);
    if (begin == std::string::npos) continue;
    const Match match{begin, begin + string.size(), &string};
    if (!best || match.end < best->end || (match.end == best->end && match.begin < best->begin)) best = match;
  }
  return best;
}

size_t StopStrings::longest_possible_start() const {
  size_t longest = 0;
  const std::string_view held = held_;
  for (const std::string& string : strings_) {
    for (size_t length = std::min(held.size(), string.size() - 1); length > longest; --length) {
      if (held.substr(held.size() - length) == std::string_view(string).substr(0, length)) longest = length;
    }
  }
  return longest;
}

}  // namespace hearth
