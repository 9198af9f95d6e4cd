#include "server/openai/unsupported_fields.h"

#include <algorithm>
#include <array>
#include <vector>

namespace hearth {
namespace {

using nlohmann::json;

/// Fields that ask for nothing only where they are empty or false.
constexpr std::array kUnsupported = {
    // OpenAI's
    "tools", "functions", "audio", "web_search_options",
    // vLLM's
    "guided_json", "guided_regex", "guided_choice", "guided_grammar", "structured_outputs", "logits_processors",
    "allowed_token_ids", "bad_words", "use_beam_search", "prompt_logprobs", "logprob_token_ids", "prompt_embeds",
    "truncate_prompt_tokens", "truncation_side", "include_stop_str_in_output", "return_tokens_as_token_ids",
    "return_prompt_text", "repetition_detection", "watermarking", "kv_transfer_params", "ec_transfer_params",
    "vllm_xargs",
    // llama.cpp's
    "grammar", "samplers", "lora", "response_fields", "return_tokens", "generation_prompt", "thinking_forced_open",
    "post_sampling_probs"};

/// Fields with values that ask for nothing. Of dry, xtc, mirostat and the like it is the field that switches the
/// sampler on: without it the others mean nothing.
struct UnsupportedValue {
  const char* name;
  std::vector<json> harmless;
};

const std::vector<UnsupportedValue>& unsupported_values() {
  static const std::vector<UnsupportedValue> values = {
      {"tool_choice", {"none"}}, {"modalities", {json::array({"text"})}},
      {"verbosity", {"medium"}}, {"reasoning_format", {"none", "auto"}},
      {"typical_p", {1}},        {"xtc_probability", {0}},
      {"dry_multiplier", {0}},   {"dynatemp_range", {0}},
      {"mirostat", {0}},         {"n_probs", {0}},
      {"n_indent", {0}},         {"min_keep", {0, 1}}};
  return values;
}

/// Samplers and limits that a negative value switches off, and those that zero switches off as well.
constexpr std::array kOffBelowZero = {"adaptive_target", "thinking_token_budget", "thinking_budget_tokens",
                                      "reasoning_budget_tokens"};
constexpr std::array kOffUpToZero = {"top_n_sigma", "t_max_predict_ms"};

bool is_number_where(const json* value, auto holds) {
  return value != nullptr && value->is_number() && holds(value->get<double>());
}

}  // namespace

void refuse_unsupported(Fields& fields) {
  for (const char* name : kUnsupported) fields.refuse(name);
  for (const auto& [name, harmless] : unsupported_values()) {
    const json* value = fields.find(name);
    if (value == nullptr || std::ranges::find(harmless, *value) == harmless.end()) fields.refuse(name);
  }
  for (const char* name : kOffBelowZero) {
    if (!is_number_where(fields.find(name), [](double value) { return value < 0; })) fields.refuse(name);
  }
  for (const char* name : kOffUpToZero) {
    if (!is_number_where(fields.find(name), [](double value) { return value <= 0; })) fields.refuse(name);
  }
  if (!fields.has("tools")) fields.refuse("function_call", "none");
  // An empty schema is not nothing: it asks for JSON.
  if (fields.has("json_schema")) fields.refuse_any("json_schema");
  // True by default, so that false is what asks for something.
  if (const json* reasoning = fields.find("include_reasoning"); reasoning != nullptr && *reasoning != true) {
    fields.refuse_any("include_reasoning");
  }
  const json* format = fields.find("response_format");
  if (format != nullptr && !(format->is_object() && format->value("type", json()) == "text")) {
    fields.refuse("response_format");
  }
}

}  // namespace hearth
