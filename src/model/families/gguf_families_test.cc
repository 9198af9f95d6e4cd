// What a GGUF's metadata and tensors mean to the families.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <map>

#include "formats/gguf.h"
#include "formats/test_files.h"
#include "model/families/family.h"
#include "model/rope.h"

namespace hearth {
namespace {

using test_files::GgufBuilder;
using test_files::MemoryFile;
using testing::HasSubstr;

GgufBuilder small(const std::string& architecture) {
  GgufBuilder gguf;
  const std::string p = architecture + ".";
  gguf.key("general.architecture", architecture.c_str());
  gguf.key(p + "embedding_length", uint32_t{64}).key(p + "feed_forward_length", uint32_t{160});
  gguf.key(p + "attention.head_count", uint32_t{4}).key(p + "block_count", uint32_t{2});
  gguf.key(p + "context_length", uint32_t{256});
  gguf.tensor("token_embd.weight", 1, {64, 3}, std::string(384, '\0'));
  return gguf;
}

Result<DecoderDescription> describe(const GgufBuilder& gguf) {
  const MemoryFile file(gguf.build());
  return describe_decoder(*Gguf::open(file.path()).value());
}

std::vector<float> frequencies(const GgufBuilder& gguf) {
  const auto description = describe(gguf);
  EXPECT_TRUE(description) << to_string(description.error());
  return description ? description->config.ropes.at(0).inverse_frequencies : std::vector<float>();
}

// llama.cpp: the type is linear where there is none, scale_linear is the older key, and 0 is no scaling.
TEST(GgufFamilies, AFactorWithoutATypeIsLinearScaling) {
  const std::vector<float> plain = rope_inverse_frequencies(10000, 16);
  RopeSpec quarter{.inverse_frequencies = plain};
  scale_linear(quarter, 4);
  EXPECT_EQ(frequencies(small("llama")), plain);
  EXPECT_EQ(frequencies(small("llama").key("llama.rope.scale_linear", 4.0F)), quarter.inverse_frequencies);
  EXPECT_EQ(frequencies(small("llama").key("llama.rope.scaling.factor", 4.0F)), quarter.inverse_frequencies);
  EXPECT_EQ(frequencies(small("qwen2").key("qwen2.rope.scaling.factor", 4.0F)), quarter.inverse_frequencies);
  EXPECT_EQ(frequencies(small("llama").key("llama.rope.scaling.factor", 0.0F)), plain);
  EXPECT_EQ(frequencies(small("llama").key("llama.rope.scaling.factor", 4.0F).key("llama.rope.scaling.type", "none")),
            plain);
}

TEST(GgufFamilies, AKeyThatNobodyReadsIsRefusedByName) {
  const auto refused = [](auto&& gguf) {
    const auto description = describe(gguf);
    return description ? std::string() : description.error().message;
  };
  EXPECT_THAT(refused(small("qwen3").key("qwen3.expert_count", uint32_t{8})), HasSubstr("qwen3.expert_count"));
  EXPECT_THAT(refused(small("llama").key("llama.logit_scale", 8.0F)), HasSubstr("llama.logit_scale"));
  EXPECT_THAT(refused(small("qwen3").key("qwen3.attention.causal", false)), HasSubstr("qwen3.attention.causal"));
  EXPECT_THAT(refused(small("llama").key("llama.rope.scaling.type", "longrope")), HasSubstr("longrope"));
  EXPECT_EQ(refused(small("llama").key("llama.expert_count", uint32_t{0})), "");
  EXPECT_EQ(refused(small("llama").key("llama.attention.causal", true)), "");
  EXPECT_EQ(refused(small("llama").key("llama.vocab_size", uint32_t{3}).key("other.expert_count", uint32_t{8})), "");
}

TEST(GgufFamilies, BiasesThatAreThereAreRead) {
  const auto description = describe(small("llama")
                                        .tensor("blk.0.attn_q.bias", 0, {64}, std::string(256, '\0'))
                                        .tensor("blk.0.ffn_down.bias", 0, {64}, std::string(256, '\0')));
  ASSERT_TRUE(description) << to_string(description.error());
  EXPECT_EQ(description->names.q_bias, "blk.{}.attn_q.bias");
  EXPECT_EQ(description->names.down_bias, "blk.{}.ffn_down.bias");
  EXPECT_EQ(description->names.gate_bias, "");
}

TEST(GgufFamilies, WindowsAreWhereTheFileSays) {
  const auto windows = [](const GgufBuilder& gguf) {
    std::vector<uint32_t> all;
    const DecoderDescription description = describe(gguf).value();
    description.config.for_each_attention([&](const AttentionConfig& a) { all.push_back(a.window); });
    return all;
  };
  EXPECT_EQ(windows(small("gemma3").key("gemma3.attention.sliding_window", uint32_t{16})),
            (std::vector<uint32_t>{16, 16}));
  EXPECT_EQ(windows(small("gemma3")
                        .key("gemma3.attention.sliding_window", uint32_t{16})
                        .array<bool>("gemma3.attention.sliding_window_pattern", {false, true})),
            (std::vector<uint32_t>{0, 16}));
  for (const std::string everywhere : {"llama", "starcoder2"}) {
    EXPECT_EQ(windows(small(everywhere)), (std::vector<uint32_t>{0, 0}));
    EXPECT_EQ(windows(small(everywhere).key(everywhere + ".attention.sliding_window", uint32_t{16})),
              (std::vector<uint32_t>{16, 16}));
  }
}

// llama.cpp's converter writes the original context as an integer.
TEST(GgufFamilies, NumbersOfRopesMayBeIntegers) {
  const auto yarn = [](auto original) {
    return small("qwen3")
        .key("qwen3.rope.scaling.type", "yarn")
        .key("qwen3.rope.scaling.factor", 4.0F)
        .key("qwen3.rope.scaling.original_context_length", original);
  };
  EXPECT_EQ(frequencies(yarn(uint32_t{64})), frequencies(yarn(64.0F)));
}

// As llama.cpp's converter writes OLMo 3's attention_factor, which is 0.1 ln 8 + 1 already.
TEST(GgufFamilies, AYarnsOwnMagnitudeIsNotMultipliedWithTheUsualOne) {
  const auto magnitude = [](GgufBuilder gguf) {
    gguf.key("qwen3.rope.scaling.type", "yarn").key("qwen3.rope.scaling.factor", 8.0F);
    const auto description = describe(gguf);
    EXPECT_TRUE(description) << to_string(description.error());
    return description ? description->config.ropes.at(0).magnitude : 0;
  };
  EXPECT_FLOAT_EQ(magnitude(small("qwen3")), 1.2079442F);
  EXPECT_FLOAT_EQ(magnitude(small("qwen3").key("qwen3.rope.scaling.yarn_attn_factor", 1.2079442F)), 1.2079442F);
  EXPECT_FLOAT_EQ(magnitude(small("qwen3").key("qwen3.rope.scaling.yarn_attn_factor", 1.5F)), 1.5F);
  EXPECT_FLOAT_EQ(magnitude(small("qwen3").key("qwen3.rope.scaling.attn_factor", 2.0F)), 2 * 1.2079442F);
}

/// Latent attention in the two ways that files say it, with other values for some keys.
GgufBuilder latents(bool parted, std::map<std::string, uint32_t> changes = {}) {
  GgufBuilder gguf = small("deepseek2");
  std::map<std::string, uint32_t> keys = {{"rope.dimension_count", 8},
                                          {"attention.kv_lora_rank", 32},
                                          {"attention.head_count_kv", parted ? 1 : 4},
                                          {"attention.key_length", parted ? 40 : 24},
                                          {"attention.value_length", parted ? 32 : 16},
                                          {"expert_count", 8},
                                          {"expert_used_count", 2},
                                          {"expert_feed_forward_length", 32},
                                          {"leading_dense_block_count", 1}};
  if (parted) keys.insert({{"attention.key_length_mla", 24}, {"attention.value_length_mla", 16}});
  if (!parted) gguf.tensor("blk.0.attn_kv_b.weight", 0, {1}, std::string(4, '\0'));
  changes.merge(keys);
  for (const auto& [key, value] : changes) gguf.key("deepseek2." + key, value);
  return gguf;
}

TEST(GgufFamilies, OlderFilesKeepKeysAndValuesOfHeadsTogether) {
  const auto parted = describe(latents(true)), together = describe(latents(false));
  ASSERT_TRUE(parted) << to_string(parted.error());
  ASSERT_TRUE(together) << to_string(together.error());
  const auto a = std::get<LatentAttentionConfig>(parted->config.layers.at(0).mixer);
  const auto b = std::get<LatentAttentionConfig>(together->config.layers.at(0).mixer);
  for (const LatentAttentionConfig& c : {a, b}) {
    EXPECT_EQ(c.heads, 4U);
    EXPECT_EQ(c.nope_dim, 16U);
    EXPECT_EQ(c.rope_dim, 8U);
    EXPECT_EQ(c.value_dim, 16U);
    EXPECT_EQ(c.latent_dim, 32U);
    EXPECT_EQ(c.q_rank, 0U);
    EXPECT_FLOAT_EQ(c.scale, 1 / std::sqrt(24.0F));
  }
  EXPECT_EQ(parted->names.k_b, "blk.{}.attn_k_b.weight");
  EXPECT_EQ(parted->names.kv_b, "");
  EXPECT_EQ(together->names.kv_b, "blk.{}.attn_kv_b.weight");
  EXPECT_EQ(parted->config.ropes.at(0).inverse_frequencies.size(), 4U);
  EXPECT_TRUE(parted->config.ropes[0].interleaved);
}

TEST(GgufFamilies, SizesOfLatentAttentionMustFitTogether) {
  const auto refused = [](auto&& gguf) {
    const auto description = describe(gguf);
    return description ? std::string() : description.error().message;
  };
  const auto with = [](const char* key, uint32_t value) { return latents(true, {{key, value}}); };
  EXPECT_THAT(refused(with("attention.key_length", 48)), HasSubstr("attention.key_length is 48"));
  EXPECT_THAT(refused(with("attention.value_length", 16)), HasSubstr("attention.value_length is 16"));
  EXPECT_THAT(refused(with("attention.head_count_kv", 4)), HasSubstr("attention.head_count_kv is 4"));
  EXPECT_THAT(refused(with("attention.key_length_mla", 8)), HasSubstr("no larger than what rope turns"));
  EXPECT_THAT(refused(with("expert_gating_func", 4)), HasSubstr("expert_gating_func 4"));
  EXPECT_THAT(refused(latents(true).key("deepseek2.attention.temperature_scale", 0.1F)),
              HasSubstr("temperature_scale"));
}

/// llama.cpp writes a tenth of mscale_all_dim.
TEST(GgufFamilies, YarnWidensLatentAttentionsScores) {
  const auto widened = [](const GgufBuilder& gguf) { return describe(gguf).value().config; };
  const auto yarn = [] {
    return latents(true)
        .key("deepseek2.rope.scaling.type", "yarn")
        .key("deepseek2.rope.scaling.factor", 40.0F)
        .key("deepseek2.rope.scaling.original_context_length", uint32_t{64});
  };
  const DecoderConfig with = widened(yarn().key("deepseek2.rope.scaling.yarn_log_multiplier", 0.0707F));
  const DecoderConfig without = widened(yarn());
  const auto scale = [](const DecoderConfig& c) { return std::get<LatentAttentionConfig>(c.layers.at(0).mixer).scale; };
  EXPECT_NEAR(scale(with) / scale(without), std::pow(0.0707 * std::log(40) + 1, 2), 1e-5);
  EXPECT_NEAR(with.ropes[0].magnitude, 1, 1e-6);
  EXPECT_NEAR(without.ropes[0].magnitude, 0.1 * std::log(40) + 1, 1e-6);
}

TEST(GgufFamilies, FilesThatDoNotSayHowExpertsAreChosenHaveACorrectionOrNot) {
  const auto router = [](const GgufBuilder& gguf) {
    return std::get<ExpertsConfig>(describe(gguf).value().config.layers.at(1).feed_forward);
  };
  const auto correction = [] { return latents(true).tensor("blk.1.exp_probs_b.bias", 0, {8}, std::string(32, '\0')); };
  EXPECT_EQ(router(latents(true)).router, RouterKind::softmax);
  EXPECT_EQ(router(latents(true)).group_raters, 1U);
  EXPECT_EQ(router(correction()).router, RouterKind::sigmoid);
  EXPECT_EQ(router(correction()).group_raters, 2U);
  EXPECT_EQ(router(latents(true, {{"expert_gating_func", 2}})).router, RouterKind::sigmoid);
}

}  // namespace
}  // namespace hearth
