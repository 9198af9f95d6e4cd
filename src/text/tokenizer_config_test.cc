#include "text/tokenizer_config.h"

#include <gtest/gtest.h>

namespace hearth {
namespace {

TEST(TokenizerConfig, ReadsTokensInBothSpellings) {
  const auto config = parse_tokenizer_config(
      R"({"bos_token": "<s>", "eos_token": {"content": "</s>", "lstrip": false}, "unk_token": null,
          "add_bos_token": true, "add_eos_token": "yes", "chat_template": "{{ x }}"})");
  ASSERT_TRUE(config);
  EXPECT_EQ(config->bos_token, "<s>");
  EXPECT_EQ(config->eos_token, "</s>");
  EXPECT_EQ(config->unk_token, std::nullopt);
  EXPECT_EQ(config->add_bos_token, true);
  EXPECT_EQ(config->add_eos_token, std::nullopt);
  EXPECT_EQ(config->chat_template, "{{ x }}");
}

TEST(TokenizerConfig, TakesTheDefaultOfSeveralTemplates) {
  const auto config = parse_tokenizer_config(
      R"({"chat_template": [{"name": "tool_use", "template": "a"}, {"name": "default", "template": "b"}]})");
  ASSERT_TRUE(config);
  EXPECT_EQ(config->chat_template, "b");
}

TEST(TokenizerConfig, RefusesWhatIsNoObject) {
  for (const char* json : {"", "{", "[]", "null", "\xFF"}) {
    const auto config = parse_tokenizer_config(json);
    ASSERT_FALSE(config) << json;
    EXPECT_EQ(config.error().code, ErrorCode::corrupt);
  }
}

}  // namespace
}  // namespace hearth
