// Every tensor of a checkpoint has a reader, or is known not to matter.

#include "model/unread_tensors.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "model/evaluate.h"
#include "model/testing/edited_checkpoint.h"

namespace hearth {
namespace {

void leave_as_it_is(nlohmann::json&) {}

TEST(UnreadTensors, OneThatBelongsToTheDecoderIsNamed) {
  const char* const names[] = {"model.layers.0.self_attn.q_proj.bias", "model.layers.4.input_layernorm.weight",
                               "model.layers.1.self_attn.q_norm.weight", "model.layers.1.mlp.gate_proj.weight_scale"};
  for (const char* name : names) {
    EditedCheckpoint checkpoint("llama", leave_as_it_is);
    checkpoint.add_tensor(name, {64});
    const auto model = checkpoint.load();
    ASSERT_FALSE(model) << name;
    EXPECT_EQ(model.error().code, ErrorCode::unsupported);
    EXPECT_THAT(model.error().message, testing::HasSubstr(name));
  }
}

TEST(UnreadTensors, WhatDoesNotMatterIsPassedOver) {
  EditedCheckpoint checkpoint("llama", leave_as_it_is);
  checkpoint.add_tensor("model.layers.0.self_attn.rotary_emb.inv_freq", {16});
  checkpoint.add_tensor("vision_tower.patch_embed.weight", {3, 3});
  checkpoint.add_tensor("model.connector.modality_projection.proj.weight", {3, 3});
  checkpoint.add_tensor("image_newline", {64});
  EXPECT_TRUE(checkpoint.load());
  EXPECT_TRUE(checkpoint.load({.cut = {.max_layers = 1}})) << "layers that were not asked for are no fault";
}

// As the decoder of a model that also sees, or of a checkpoint that was saved without its outer class.
TEST(UnreadTensors, NamesMayBeginOtherwise) {
  EditedCheckpoint usual("llama", leave_as_it_is);
  ASSERT_TRUE(usual.load());
  for (const std::string prefix :
       {"language_model.model.", "model.language_model.", "language_model.", "model.text_model.", ""}) {
    EditedCheckpoint checkpoint("llama", [](nlohmann::json& config) {
      config = {{"model_type", "something_that_sees"}, {"text_config", config}, {"vision_config", {{"depth", 3}}}};
    });
    checkpoint.rename_tensors([&](const std::string& name) {
      if (name == "lm_head.weight") return prefix == "language_model.model." ? "language_model." + name : name;
      return prefix + name.substr(std::string("model.").size());
    });
    checkpoint.add_tensor("model.vision_tower.blocks.0.weight", {3, 3});
    const auto model = checkpoint.load();
    ASSERT_TRUE(model) << prefix << ": " << to_string(model.error());
    EXPECT_EQ((*model)->config().family, "llama");
  }
}

// transformers 5 ties nothing where a checkpoint has a head that differs from the embedding.
TEST(UnreadTensors, AHeadBesideATiedEmbeddingCountsWhereItDiffers) {
  const auto embedding = [] {
    const auto checkpoint = open_checkpoint(goldens() / "llama").value();
    const TensorInfo tensor = checkpoint->find("model.embed_tokens.weight").value();
    std::string bytes(tensor.bytes, ' ');
    EXPECT_TRUE(checkpoint->read(tensor, 0, std::as_writable_bytes(std::span(bytes))));
    return bytes;
  }();
  EditedCheckpoint same("llama", leave_as_it_is);
  same.add_tensor("lm_head.weight", {384, 64}, embedding);
  const auto tied = same.load();
  ASSERT_TRUE(tied) << to_string(tied.error());
  EXPECT_TRUE((*tied)->config().tied_embeddings);

  EditedCheckpoint other("llama", leave_as_it_is);
  other.add_tensor("lm_head.weight", {384, 64});
  const auto untied = other.load();
  ASSERT_TRUE(untied) << to_string(untied.error());
  EXPECT_FALSE((*untied)->config().tied_embeddings);
  auto sequence = SingleSequence::create(**untied, 4, 4);
  const std::vector<int32_t> ids = {1};
  ASSERT_TRUE(sequence->append(ids, [](size_t, std::span<const float> logits) {
    for (const float logit : logits) EXPECT_EQ(logit, 0.0F) << "of a head of zeros";
  }));
}

}  // namespace
}  // namespace hearth
