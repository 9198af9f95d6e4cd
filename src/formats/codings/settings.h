#pragma once

#include <cstdint>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <string_view>

#include "base/result.h"

namespace hearth::codings {

/// "KEY is VALUE" of a quantization_config.
std::unexpected<Error> refuse_setting(const nlohmann::json& quantization, const std::string& key);

/// Whether a key is absent, null, false, empty or one of `harmless`.
bool is_unset(const nlohmann::json& quantization, const std::string& key);

/// A text; `otherwise` where there is none.
std::string text_of(const nlohmann::json& quantization, const std::string& key, std::string_view otherwise);

/// A number from 1 to 2^20, or `whole` for -1, null and where it is absent; nothing for anything else.
std::optional<uint64_t> group_of(const nlohmann::json& quantization, const std::string& key, uint64_t whole);

}  // namespace hearth::codings
