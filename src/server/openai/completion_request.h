#pragma once

#include <nlohmann/json.hpp>
#include <string>
#include <variant>
#include <vector>

#include "server/openai/generation_params.h"

namespace hearth {

/// Text, or token ids.
using Prompt = std::variant<std::string, std::vector<int32_t>>;

/// POST /v1/completions
struct CompletionRequest {
  GenerationParams params;
  std::vector<Prompt> prompts;
  bool echo = false;               ///< the prompt stands before the completion
  bool add_special_tokens = true;  ///< begin-of-sequence and the like around prompts that are texts
  bool parse_special = true;       ///< control tokens that prompts that are texts spell
};

/// A prompt or a list of prompts. Errors name `name`.
std::vector<Prompt> read_prompts(Fields& fields, std::string_view name, const RequestLimits& limits);

ApiResult<CompletionRequest> parse_completion_request(const nlohmann::json& body, const RequestLimits& limits);

}  // namespace hearth
