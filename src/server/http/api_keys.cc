#include "server/http/api_keys.h"

#include <fmt/format.h>

#include <algorithm>
#include <cctype>
#include <charconv>
#include <optional>

#include "base/file.h"

namespace hearth {
namespace {

std::string_view trimmed(std::string_view text) {
  constexpr std::string_view kSpace = " \t\r\n";
  const size_t first = text.find_first_not_of(kSpace);
  if (first == text.npos) return {};
  return text.substr(first, text.find_last_not_of(kSpace) - first + 1);
}

/// Looks at every byte of `given`, whatever `key` is.
bool equal_in_constant_time(std::string_view given, std::string_view key) {
  unsigned difference = given.size() == key.size() ? 0 : 1;
  for (size_t i = 0; i < given.size(); ++i) {
    const char expected = key.empty() ? '\0' : key[i % key.size()];
    difference |= static_cast<unsigned char>(given[i] ^ expected);
  }
  return difference == 0;
}

constexpr double kLeastWeight = 0.01, kMostWeight = 100;

/// Takes the first word off.
std::string_view next_word(std::string_view& line) {
  line = trimmed(line);
  const size_t end = std::min(line.find_first_of(" \t"), line.size());
  const std::string_view word = line.substr(0, end);
  line.remove_prefix(end);
  return word;
}

bool is_printable(std::string_view word) {
  return std::ranges::all_of(word, [](unsigned char c) { return c > ' ' && c < 0x7f; });
}

template <class T>
bool read_number(std::string_view text, T least, T most, T& value) {
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  return error == std::errc() && end == text.data() + text.size() && value >= least && value <= most;
}

/// What is wrong with "field=value", or nothing.
std::optional<std::string> read_field(std::string_view word, User& user) {
  const size_t equals = std::min(word.find('='), word.size());
  const std::string_view field = word.substr(0, equals), value = word.substr(std::min(equals + 1, word.size()));
  constexpr uint32_t kMost = 1U << 20;
  if (field == "name") {
    user.name = value;
    user.id = fmt::format("name {}", value);
    if (value.empty() || !is_printable(value)) return "name= needs a name of printable ASCII";
  } else if (field == "weight") {
    if (!read_number(value, kLeastWeight, kMostWeight, user.weight)) {
      return fmt::format("weight= needs a number from {} to {}", kLeastWeight, kMostWeight);
    }
  } else if (field == "max-running") {
    if (!read_number(value, 1U, kMost, user.max_running)) return "max-running= needs a whole number from 1 on";
  } else if (field == "max-waiting") {
    if (!read_number(value, 0U, kMost, user.max_waiting)) return "max-waiting= needs a whole number";
  } else {
    // Without the word itself: it may be a part of a key.
    return "behind a key there may only be name=, weight=, max-running= and max-waiting=";
  }
  return std::nullopt;
}

bool are_one_user_alike(const User& a, const User& b) {
  return a.weight == b.weight && a.max_running == b.max_running && a.max_waiting == b.max_waiting;
}

}  // namespace

ApiKeys::ApiKeys(std::vector<std::string> keys) {
  for (std::string& key : keys) {
    User user;
    user.id = fmt::format("key {}", keys_.size());
    keys_.push_back({std::move(key), std::move(user)});
  }
}

Result<ApiKeys> ApiKeys::read(const std::filesystem::path& path) {
  Result<std::string> text = read_whole_file(path, 1 << 20);
  if (!text) return pass_on(text);
  ApiKeys keys;
  std::string_view rest = *text;
  for (size_t line_number = 1; !rest.empty(); ++line_number) {
    const size_t end = std::min(rest.find('\n'), rest.size());
    std::string_view line = trimmed(rest.substr(0, end));
    rest.remove_prefix(std::min(end + 1, rest.size()));
    if (line.empty() || line.starts_with('#')) continue;
    const auto broken = [&](std::string_view what) {
      return fail(ErrorCode::invalid_argument, fmt::format("{}:{}: {}", path.string(), line_number, what),
                  "write one key a line, and what is known of its user behind it");
    };
    const std::string_view key = next_word(line);
    if (!is_printable(key)) return broken("an API key holds a character that is not ASCII");
    User user;
    user.id = fmt::format("line {}", line_number);
    while (!trimmed(line).empty()) {
      if (const auto wrong = read_field(next_word(line), user)) return broken(*wrong);
    }
    for (const Key& other : keys.keys_) {
      if (other.key == key) return broken("this key stands there twice");
      if (other.user.id == user.id && !are_one_user_alike(other.user, user)) {
        return broken("the keys of one name must have the same weight and limits");
      }
    }
    keys.keys_.push_back({std::string(key), std::move(user)});
  }
  if (!keys.are_asked_for()) {
    return fail(ErrorCode::invalid_argument, fmt::format("{}: no API key in this file", path.string()),
                "write one key a line, or start without a file of API keys");
  }
  return keys;
}

const User* ApiKeys::user_of(std::string_view authorization) const {
  constexpr std::string_view kScheme = "bearer ";
  const bool is_bearer = authorization.size() > kScheme.size() &&
                         std::ranges::equal(authorization.substr(0, kScheme.size()), kScheme,
                                            [](unsigned char a, char b) { return std::tolower(a) == b; });
  if (!is_bearer) return nullptr;
  const std::string_view given = trimmed(authorization.substr(kScheme.size()));
  const User* user = nullptr;
  for (const Key& key : keys_) {
    if (equal_in_constant_time(given, key.key)) user = &key.user;
  }
  return user;
}

}  // namespace hearth
