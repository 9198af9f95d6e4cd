#include "server/openai/unsupported_fields.h"

#include <gtest/gtest.h>

#include "server/testing/test_requests.h"

namespace hearth {
namespace {

using nlohmann::json;

TEST(UnsupportedFields, AreRefusedAndWhatChangesNothingIsNot) {
  const std::vector<std::pair<const char*, json>> refused = {
      {"tools", {{{"type", "function"}}}},
      {"tool_choice", "required"},
      {"functions", {{{"name", "f"}}}},
      {"response_format", {{"type", "json_object"}}},
      {"response_format", "json"},
      {"guided_json", {{"type", "object"}}},
      {"modalities", {"audio"}},
      {"prompt_logprobs", 0},
      {"include_stop_str_in_output", true},
      {"grammar", "root ::= \"a\""},
      {"json_schema", json::object()},
      {"logprob_token_ids", {1}},
      {"truncation_side", "left"},
      {"thinking_token_budget", 0},
      {"include_reasoning", false},
      {"reasoning_format", "deepseek"},
      {"verbosity", "low"},
      {"prompt_embeds", "AAAA"},
      {"vllm_xargs", {{"a", 1}}},
      {"typical_p", 0.9},
      {"mirostat", 2},
      {"dry_multiplier", 0.8},
      {"xtc_probability", 0.5},
      {"dynatemp_range", 0.5},
      {"top_n_sigma", 1.5},
      {"adaptive_target", 0.5},
      {"min_keep", 2},
      {"samplers", {"top_k"}},
      {"lora", {{{"id", 0}, {"scale", 1.0}}}},
      {"n_probs", 3},
      {"t_max_predict_ms", 100},
  };
  for (const auto& [name, value] : refused) {
    EXPECT_EQ(fault(chat({{name, value}})), name) << value;
    EXPECT_EQ(chat({{name, value}}).error().code, "unsupported_parameter");
    EXPECT_EQ(fault(completion({{name, value}})), name) << value;
  }
  EXPECT_EQ(fault(completion({{"suffix", "end"}})), "suffix");
  EXPECT_EQ(fault(chat({{"parse_special", true}})), "parse_special");
  EXPECT_EQ(fault(chat({{"continue_final_message", true}})), "continue_final_message");

  const json harmless = {{"tools", json::array()},
                         {"tool_choice", "none"},
                         {"functions", nullptr},
                         {"response_format", {{"type", "text"}}},
                         {"modalities", {"text"}},
                         {"include_stop_str_in_output", false},
                         {"suffix", ""},
                         {"user", "somebody"},
                         {"metadata", {{"a", "b"}}},
                         {"reasoning_format", "auto"},
                         {"include_reasoning", true},
                         {"thinking_token_budget", -1},
                         {"typical_p", 1.0},
                         {"top_n_sigma", -1},
                         {"t_max_predict_ms", 0},
                         {"mirostat", 0},
                         {"mirostat_tau", 5.0},
                         {"dry_multiplier", 0.0},
                         {"dry_base", 1.75},
                         {"xtc_probability", 0},
                         {"xtc_threshold", 0.1},
                         {"adaptive_target", -1.0},
                         {"min_keep", 1},
                         {"grammar", ""},
                         {"samplers", json::array()},
                         {"repeat_last_n", 64},
                         {"cache_prompt", false},
                         {"timings_per_token", true},
                         {"store", false},
                         {"no_such_field", {1, 2, 3}}};
  EXPECT_EQ(fault(chat(harmless)), "");
  EXPECT_EQ(fault(completion(harmless)), "");
}

TEST(UnsupportedFields, AWindowOfPenaltiesIsRefusedWhereThereIsAPenalty) {
  for (const char* penalty : {"repeat_penalty", "presence_penalty", "frequency_penalty"}) {
    EXPECT_EQ(fault(chat({{penalty, 1.5}, {"repeat_last_n", 64}})), "repeat_last_n") << penalty;
    EXPECT_EQ(fault(chat({{penalty, 1.5}, {"repeat_last_n", -1}})), "") << penalty;
  }
  EXPECT_EQ(fault(chat({{"repeat_penalty", 1.0}, {"repeat_last_n", 64}})), "");
}

}  // namespace
}  // namespace hearth
