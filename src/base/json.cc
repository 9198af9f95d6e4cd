#include "base/json.h"

#include <fmt/format.h>

#include <set>
#include <string>
#include <vector>

#include "base/printable.h"

namespace hearth {
namespace {

using nlohmann::json;

/// Watches the parser's events, and stops it where a limit is exceeded or the text is no JSON: `failure` says then why.
class LimitChecker final : public nlohmann::json_sax<json> {
 public:
  explicit LimitChecker(const JsonLimits& limits) : limits_(limits) {}

  const std::string& failure() const { return failure_; }

  bool start_object(size_t) override {
    if (limits_.unique_keys) keys_of_open_objects_.emplace_back();
    return start_structure();
  }
  bool end_object() override {
    if (limits_.unique_keys) keys_of_open_objects_.pop_back();
    return end_array();
  }
  bool start_array(size_t) override { return start_structure(); }
  bool end_array() override {
    --depth_;
    return true;
  }
  bool key(string_t& name) override {
    if (!limits_.unique_keys || keys_of_open_objects_.back().insert(name).second) return true;
    return fails(fmt::format("the key \"{}\" stands twice in an object", printable(name)));
  }

  bool null() override { return true; }
  bool boolean(bool) override { return true; }
  bool number_integer(number_integer_t) override { return true; }
  bool number_unsigned(number_unsigned_t) override { return true; }
  bool number_float(number_float_t, const string_t&) override { return true; }
  bool string(string_t&) override { return true; }
  bool binary(binary_t&) override { return true; }
  bool parse_error(size_t, const std::string&, const json::exception& error) override;

 private:
  bool start_structure() {
    if (++depth_ <= limits_.max_depth) return true;
    return fails(fmt::format("more than {} arrays and objects inside each other", limits_.max_depth));
  }
  bool fails(std::string why) {
    failure_ = std::move(why);
    return false;
  }

  const JsonLimits& limits_;
  int depth_ = 0;
  std::vector<std::set<std::string>> keys_of_open_objects_;
  std::string failure_;
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

bool LimitChecker::parse_error(size_t, const std::string&, const json::exception& error) {
  return fails(plain_message(error.what()));
}

}  // namespace

Result<json> parse_json(std::string_view text, std::string_view what, const JsonLimits& limits) {
  // Twice over the text: the parser that makes values and can be watched at once looks through all of an object or
  // array for each one inside it, which takes minutes for some texts of a few MB.
  LimitChecker checker(limits);
  if (json::sax_parse(text.begin(), text.end(), &checker)) {
    return json::parse(text.begin(), text.end(), nullptr, /*allow_exceptions=*/false);
  }
  return fail(ErrorCode::corrupt, fmt::format("{}: not valid JSON: {}", printable(what, 1024), checker.failure()));
}

}  // namespace hearth
