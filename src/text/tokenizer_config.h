#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "base/result.h"

namespace hearth {

/// What hearth uses of a tokenizer_config.json.
struct TokenizerConfig {
  std::optional<std::string> bos_token;
  std::optional<std::string> eos_token;
  std::optional<std::string> unk_token;
  std::optional<bool> add_bos_token;
  std::optional<bool> add_eos_token;
  /// Jinja source; of several named templates, that named "default". Absent in base models, and in models that keep
  /// it in a chat_template.jinja beside this file.
  std::optional<std::string> chat_template;
};

/// `corrupt` when the bytes are not a JSON object. Fields of an unexpected type are taken as absent.
Result<TokenizerConfig> parse_tokenizer_config(std::string_view json);

}  // namespace hearth
