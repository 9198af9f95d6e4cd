#include "formats/directory_files.h"

#include <fmt/format.h>

#include <algorithm>
#include <system_error>
#include <utility>

#include "base/file.h"
#include "base/json.h"
#include "base/printable.h"
#include "base/reading/read_watch.h"

namespace hearth {
namespace {

using nlohmann::json;

/// Python writes numbers that JSON does not have as bare words; they become null.
std::string without_bare_words(std::string text) {
  bool in_string = false;
  for (size_t i = 0; i < text.size(); ++i) {
    if (in_string && text[i] == '\\') {
      ++i;
    } else if (text[i] == '"') {
      in_string = !in_string;
    } else if (!in_string) {
      for (const std::string_view word : {"-Infinity", "Infinity", "NaN"}) {
        if (std::string_view(text).substr(i).starts_with(word)) text.replace(i, word.size(), "null");
      }
    }
  }
  return text;
}

}  // namespace

std::string shown(const std::filesystem::path& path) { return printable(path.native(), 1024); }

bool is_there(const std::filesystem::path& path) {
  const AsksFile asks(path, 0, 0);
  std::error_code error;
  return std::filesystem::exists(path, error);
}

std::vector<std::string> file_names(const std::filesystem::path& directory, std::string_view suffix) {
  const AsksFile asks(directory, 0, 0);
  std::vector<std::string> names;
  std::error_code error;
  for (std::filesystem::directory_iterator it(directory, error), end; !error && it != end; it.increment(error)) {
    std::string name = it->path().filename().string();
    if (name.ends_with(suffix)) names.push_back(std::move(name));
  }
  std::ranges::sort(names);
  return names;
}

Result<json> read_object(const std::filesystem::path& path) {
  auto text = read_whole_file(path);
  if (!text) return pass_on(text);
  auto value = parse_json(without_bare_words(std::move(*text)), path.native());
  if (value && !value->is_object()) {
    return fail(ErrorCode::corrupt, fmt::format("{}: not a JSON object", shown(path)));
  }
  return value;
}

Result<json> read_optional_object(const std::filesystem::path& path) {
  if (!is_there(path)) return json(nullptr);
  return read_object(path);
}

}  // namespace hearth
