#include "formats/gguf_split_name.h"

#include <fmt/format.h>

#include <charconv>
#include <system_error>

namespace hearth {
namespace {

std::optional<uint32_t> number_of(std::string_view digits) {
  uint32_t value = 0;
  const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), value);
  if (error != std::errc() || end != digits.data() + digits.size()) return std::nullopt;
  return value;
}

}  // namespace

std::optional<GgufSplitName> GgufSplitName::parse(std::string_view file_name) {
  constexpr std::string_view kSuffix = "-00001-of-00001.gguf";
  if (file_name.size() < kSuffix.size()) return std::nullopt;
  const std::string_view suffix = file_name.substr(file_name.size() - kSuffix.size());
  if (suffix[0] != '-' || suffix.substr(6, 4) != "-of-" || suffix.substr(15) != ".gguf") return std::nullopt;
  const auto number = number_of(suffix.substr(1, 5)), count = number_of(suffix.substr(10, 5));
  if (!number || !count) return std::nullopt;
  return GgufSplitName{std::string(file_name.substr(0, file_name.size() - kSuffix.size())), *number, *count};
}

std::string GgufSplitName::of(uint32_t other) const {
  return fmt::format("{}-{:05}-of-{:05}.gguf", prefix, other, count);
}

}  // namespace hearth
