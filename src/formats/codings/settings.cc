#include "formats/codings/settings.h"

#include <fmt/format.h>

#include "base/printable.h"

namespace hearth::codings {

using nlohmann::json;

std::unexpected<Error> refuse_setting(const json& quantization, const std::string& key) {
  const json value = quantization.value(key, json());
  return fail(ErrorCode::unsupported,
              fmt::format("{} is {}", key, value.is_null() ? "not given" : printable(value.dump())));
}

bool is_unset(const json& quantization, const std::string& key) {
  const auto found = quantization.find(key);
  return found == quantization.end() || found->is_null() || *found == false ||
         ((found->is_structured() || found->is_string()) && found->empty());
}

std::string text_of(const json& quantization, const std::string& key, std::string_view otherwise) {
  const auto found = quantization.find(key);
  return found != quantization.end() && found->is_string() ? found->get<std::string>() : std::string(otherwise);
}

std::optional<uint64_t> group_of(const json& quantization, const std::string& key, uint64_t whole) {
  const auto found = quantization.find(key);
  if (found == quantization.end() || found->is_null() || *found == -1) return whole;
  if (!found->is_number_unsigned() || *found == 0 || found->get<uint64_t>() > (1U << 20)) return {};
  return found->get<uint64_t>();
}

}  // namespace hearth::codings
