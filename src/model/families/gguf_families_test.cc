// What a GGUF's metadata and tensors mean to the families.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>

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
  gguf.key(p + "context_length", uint32_t{256}).key(p + "attention.layer_norm_rms_epsilon", 1e-6F);
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
  EXPECT_EQ(windows(small("llama").key("llama.attention.sliding_window", uint32_t{16})),
            (std::vector<uint32_t>{16, 16}));
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

}  // namespace
}  // namespace hearth
