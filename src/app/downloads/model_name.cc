#include "app/downloads/model_name.h"

#include <algorithm>

namespace hearth::app {
namespace {

bool is_letter_or_digit(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9'); }

bool all_are_name_parts(std::string_view text) {
  return std::ranges::all_of(split_at_slashes(text), [](const std::string& part) { return is_name_part(part); });
}

}  // namespace

bool is_name_part(std::string_view part) {
  constexpr size_t kLongest = 96;
  if (part.empty() || part.size() > kLongest || part.front() == '-' || part.front() == '.') return false;
  if (part.find("..") != part.npos) return false;
  return std::ranges::all_of(part, [](char c) { return is_letter_or_digit(c) || c == '_' || c == '-' || c == '.'; });
}

std::vector<std::string> split_at_slashes(std::string_view text) {
  std::vector<std::string> parts;
  for (size_t begin = 0;;) {
    const size_t slash = text.find('/', begin);
    parts.emplace_back(text.substr(begin, slash - begin));
    if (slash == text.npos) return parts;
    begin = slash + 1;
  }
}

std::string in_small_letters(std::string_view text) {
  std::string small(text);
  for (char& c : small) c = c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
  return small;
}

std::optional<ModelName> ModelName::parse(std::string_view text) {
  ModelName name;
  for (const Tool tool : {Tool::hugging_face, Tool::lm_studio, Tool::ollama}) {
    const std::string prefix = std::string(prefix_of(tool)) + ":";
    if (!text.starts_with(prefix)) continue;
    name.tool = tool;
    text.remove_prefix(prefix.size());
    break;
  }
  name.text = text;
  const size_t colon = text.find(':');
  std::string_view before = text.substr(0, colon);
  if (colon != text.npos) {
    name.choice = text.substr(colon + 1);
    if (name.choice.empty()) return std::nullopt;
  }
  if (const size_t at = before.find('@'); at != before.npos) {
    name.revision = before.substr(at + 1);
    before = before.substr(0, at);
    if (!all_are_name_parts(name.revision)) return std::nullopt;
  }
  name.repository = before;
  if (!all_are_name_parts(before) || name.parts() > 3) return std::nullopt;
  return name;
}

size_t ModelName::parts() const { return static_cast<size_t>(std::ranges::count(repository, '/')) + 1; }

}  // namespace hearth::app
