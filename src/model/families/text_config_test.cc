// The configuration of a decoder within that of a model that also sees: what counts where, and what a file need not
// say.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/file.h"
#include "model/families/family.h"
#include "model/testing/goldens.h"

namespace hearth {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using Json = nlohmann::json;

/// A golden's configuration as the text_config of a whole, with `beside` beside it.
Json whole(const std::string& golden, const Json& beside) {
  Json config = {{"model_type", "something_that_sees"}, {"vision_config", {{"depth", 3}}}};
  config["text_config"] = Json::parse(read_whole_file(goldens() / golden / "config.json").value());
  config.update(beside);
  return config;
}

DecoderConfig config_of(const Json& config) {
  const auto description = describe_config(config, "here");
  EXPECT_TRUE(description) << to_string(description.error());
  return description ? description->config : DecoderConfig{};
}

// As GenerationConfig.from_model_config and tie_weights of transformers 5.
TEST(TextConfig, WhatIsSaidOfTheWholeCountsFirst) {
  Json config = whole("llama", {{"eos_token_id", {7U, 8U}}, {"bos_token_id", 5U}, {"pad_token_id", 0U}});
  config["text_config"]["eos_token_id"] = 2U;
  config["text_config"]["bos_token_id"] = 1U;
  EXPECT_THAT(config_of(config).end_tokens, ElementsAre(7, 8));
  EXPECT_EQ(config_of(config).bos_token, 5);
  config["eos_token_id"] = config["bos_token_id"] = nullptr;
  EXPECT_THAT(config_of(config).end_tokens, ElementsAre(2));
  EXPECT_EQ(config_of(config).bos_token, 1);
}

TEST(TextConfig, EmbeddingsAreTiedWhereEitherSaysSo) {
  const auto tied = [](const Json& outside, const Json& inside) {
    Json config = whole("llama", {{"tie_word_embeddings", outside}});
    config["text_config"]["tie_word_embeddings"] = inside;
    return config_of(config).tied_embeddings;
  };
  EXPECT_TRUE(tied(true, false));
  EXPECT_TRUE(tied(false, true));
  EXPECT_TRUE(tied(nullptr, true));
  EXPECT_TRUE(tied(true, nullptr));
  EXPECT_FALSE(tied(false, nullptr));
  EXPECT_FALSE(tied(nullptr, false));
}

TEST(TextConfig, ADecodersKeyBesideItIsRefusedByName) {
  const Json scaling = {{"rope_type", "yarn"}, {"factor", 4.0}};
  const std::pair<const char*, Json> cases[] = {{"rope_scaling", scaling},
                                                {"rope_theta", 5e5},
                                                {"rope_parameters", scaling},
                                                {"sliding_window", 64},
                                                {"final_logit_softcapping", 30.0}};
  for (const auto& [key, value] : cases) {
    const auto description = describe_config(whole("qwen3", {{key, value}}), "here");
    ASSERT_FALSE(description) << key;
    EXPECT_THAT(description.error().message, HasSubstr(key));
  }
  Json repeated = whole("qwen3", {{"rope_theta", 5e5}, {"sliding_window", nullptr}});
  repeated["text_config"].erase("rope_parameters");
  repeated["text_config"]["rope_theta"] = 5e5;
  config_of(repeated);
}

// Gemma 3 4B's config.json has no more than this; the rest is Gemma3TextConfig's of transformers 5.
TEST(TextConfig, ItMayHoldOnlyWhatDiffersFromTheFamilys) {
  const DecoderConfig config = config_of({{"model_type", "gemma3"},
                                          {"eos_token_id", {1, 106}},
                                          {"text_config",
                                           {{"hidden_size", 2560},
                                            {"intermediate_size", 10240},
                                            {"model_type", "gemma3_text"},
                                            {"num_hidden_layers", 34},
                                            {"rope_scaling", {{"factor", 8.0}, {"rope_type", "linear"}}},
                                            {"sliding_window", 1024}}}});
  ASSERT_EQ(config.layers.size(), 34U);
  EXPECT_EQ(config.vocabulary, 262208U);
  const auto& attention = std::get<AttentionConfig>(config.layers[0].mixer);
  EXPECT_EQ(attention.heads, 8U);
  EXPECT_EQ(attention.kv_heads, 4U);
  EXPECT_EQ(attention.head_dim, 256U);
  EXPECT_EQ(attention.window, 1024U);
}

}  // namespace
}  // namespace hearth
