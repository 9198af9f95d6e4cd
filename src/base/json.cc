#include "base/json.h"

#include <fmt/format.h>

#include <set>
#include <string>
#include <vector>

#include "base/printable.h"

namespace hearth {
namespace {

using nlohmann::json;

struct LimitExceeded {
  std::string message;
};

/// Watches the parser's events and throws LimitExceeded: the only way to stop that parser early.
class LimitChecker {
 public:
  explicit LimitChecker(const JsonLimits& limits) : limits_(limits) {}

  void check(int depth, json::parse_event_t event, const json& value) {
    switch (event) {
      case json::parse_event_t::object_start:
      case json::parse_event_t::array_start:
        if (depth >= limits_.max_depth) {
          throw LimitExceeded{fmt::format("more than {} arrays and objects inside each other", limits_.max_depth)};
        }
        if (event == json::parse_event_t::object_start && limits_.unique_keys) keys_of_open_objects_.emplace_back();
        break;
      case json::parse_event_t::object_end:
        if (limits_.unique_keys) keys_of_open_objects_.pop_back();
        break;
      case json::parse_event_t::key:
        if (limits_.unique_keys && !keys_of_open_objects_.back().insert(value.get_ref<const std::string&>()).second) {
          throw LimitExceeded{
              fmt::format("the key \"{}\" stands twice in an object", printable(value.get_ref<const std::string&>()))};
        }
        break;
      default:
        break;
    }
  }

 private:
  const JsonLimits& limits_;
  std::vector<std::set<std::string>> keys_of_open_objects_;
};

/// The library says "[json.exception.parse_error.101] parse error at line 1, column 5: syntax error ...".
std::string plain_message(std::string_view message) {
  for (const std::string_view prefix : {"] parse error at ", "] parse error: ", "] "}) {
    if (const size_t at = message.find(prefix); at != message.npos) {
      return printable(message.substr(at + prefix.size()), 300);
    }
  }
  return printable(message, 300);
}

}  // namespace

Result<json> parse_json(std::string_view text, std::string_view what, const JsonLimits& limits) {
  const auto failure = [&](std::string_view why) {
    return fail(ErrorCode::corrupt, fmt::format("{}: not valid JSON: {}", printable(what, 1024), why));
  };
  LimitChecker checker(limits);
  const auto on_event = [&](int depth, json::parse_event_t event, json& value) {
    checker.check(depth, event, value);
    return true;
  };
  try {
    return json::parse(text.begin(), text.end(), on_event);
  } catch (const LimitExceeded& limit) {
    return failure(limit.message);
  } catch (const json::exception& error) {
    return failure(plain_message(error.what()));
  }
}

}  // namespace hearth
