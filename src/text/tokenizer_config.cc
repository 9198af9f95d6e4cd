#include "text/tokenizer_config.h"

#include <nlohmann/json.hpp>

namespace hearth {
namespace {

using Json = nlohmann::json;

const Json* find(const Json& object, const char* name) {
  const auto found = object.find(name);
  return found == object.end() ? nullptr : &*found;
}

std::optional<std::string> text_of(const Json* value) {
  if (!value || !value->is_string()) return std::nullopt;
  return value->get<std::string>();
}

/// A token is its text, or an object with the text in "content".
std::optional<std::string> token_text(const Json& config, const char* name) {
  const Json* value = find(config, name);
  if (value && value->is_object()) value = find(*value, "content");
  return text_of(value);
}

std::optional<bool> flag(const Json& config, const char* name) {
  const Json* value = find(config, name);
  if (!value || !value->is_boolean()) return std::nullopt;
  return value->get<bool>();
}

std::optional<std::string> chat_template(const Json& config) {
  const Json* value = find(config, "chat_template");
  if (!value || !value->is_array()) return text_of(value);
  for (const Json& named : *value) {
    if (named.is_object() && text_of(find(named, "name")) == "default") return text_of(find(named, "template"));
  }
  return std::nullopt;
}

}  // namespace

Result<TokenizerConfig> parse_tokenizer_config(std::string_view json) {
  const Json config = Json::parse(json, nullptr, /*allow_exceptions=*/false);
  if (!config.is_object()) return fail(ErrorCode::corrupt, "tokenizer_config.json is not a JSON object");
  return TokenizerConfig{
      .bos_token = token_text(config, "bos_token"),
      .eos_token = token_text(config, "eos_token"),
      .unk_token = token_text(config, "unk_token"),
      .add_bos_token = flag(config, "add_bos_token"),
      .add_eos_token = flag(config, "add_eos_token"),
      .chat_template = chat_template(config),
  };
}

}  // namespace hearth
