#include "server/http/api_keys.h"

#include <fmt/format.h>

#include <algorithm>
#include <cctype>

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

}  // namespace

Result<ApiKeys> ApiKeys::read(const std::filesystem::path& path) {
  Result<std::string> text = read_whole_file(path, 1 << 20);
  if (!text) return pass_on(text);
  std::vector<std::string> keys;
  std::string_view rest = *text;
  for (size_t line_number = 1; !rest.empty(); ++line_number) {
    const size_t end = std::min(rest.find('\n'), rest.size());
    const std::string_view line = trimmed(rest.substr(0, end));
    rest.remove_prefix(std::min(end + 1, rest.size()));
    if (line.empty() || line.starts_with('#')) continue;
    const bool printable = std::ranges::all_of(line, [](unsigned char c) { return c > ' ' && c < 0x7f; });
    if (!printable) {
      return fail(
          ErrorCode::invalid_argument,
          fmt::format("{}:{}: an API key holds a space or a character that is not ASCII", path.string(), line_number),
          "write one key a line");
    }
    keys.emplace_back(line);
  }
  if (keys.empty()) {
    return fail(ErrorCode::invalid_argument, fmt::format("{}: no API key in this file", path.string()),
                "write one key a line, or start without a file of API keys");
  }
  return ApiKeys(std::move(keys));
}

bool ApiKeys::admit(std::string_view authorization) const {
  if (keys_.empty()) return true;
  constexpr std::string_view kScheme = "bearer ";
  const bool is_bearer = authorization.size() > kScheme.size() &&
                         std::ranges::equal(authorization.substr(0, kScheme.size()), kScheme,
                                            [](unsigned char a, char b) { return std::tolower(a) == b; });
  if (!is_bearer) return false;
  const std::string_view given = trimmed(authorization.substr(kScheme.size()));
  bool admitted = false;
  for (const std::string& key : keys_) admitted |= equal_in_constant_time(given, key);
  return admitted;
}

}  // namespace hearth
