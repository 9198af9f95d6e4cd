#include "model/model.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <nlohmann/json.hpp>

#include "device/open_device.h"
#include "model/evaluate.h"
#include "model/families/family.h"
#include "model/rope.h"
#include "model/testing/edited_checkpoint.h"

namespace hearth {
namespace {

using testing::HasSubstr;
using Json = nlohmann::json;

void leave_as_it_is(Json&) {}

TEST(Model, AnUnknownFamilyIsRefusedWithThoseThatAreKnown) {
  EditedCheckpoint checkpoint("llama", [](Json& config) { config["model_type"] = "llamb"; });
  const auto model = checkpoint.load();
  ASSERT_FALSE(model);
  EXPECT_EQ(model.error().code, ErrorCode::unsupported);
  EXPECT_THAT(to_string(model.error()), HasSubstr("'llamb'"));
  EXPECT_THAT(to_string(model.error()), HasSubstr("gemma3_text"));
}

TEST(Model, AQuantizationThatNoTensorHasIsRefusedWhereverTheFileSaysSo) {
  const Json fp8 = {{"quant_method", "fp8"}};
  const auto refusal_of = [](const std::function<void(Json & config)>& edit) {
    const auto model = EditedCheckpoint("llama", edit).load();
    return model ? "it loads" : to_string(model.error());
  };
  const auto expected = testing::AllOf(HasSubstr("config.json's "), HasSubstr("_config: quant_method is 'fp8'"),
                                       HasSubstr("no tensor is so coded"));
  EXPECT_THAT(refusal_of([&](Json& config) { config["quantization_config"] = fp8; }), expected);
  EXPECT_THAT(refusal_of([&](Json& config) { config["compression_config"] = fp8; }), expected);
  EXPECT_THAT(refusal_of([&](Json& config) {
                const Json text = config;
                config = {{"model_type", "some_vision"}, {"text_config", text}, {"quantization_config", fp8}};
              }),
              expected);
  EXPECT_THAT(refusal_of([&](Json& config) {
                Json text = config;
                text["quantization_config"] = fp8;
                config = {{"model_type", "some_vision"}, {"text_config", text}};
              }),
              expected);
  EXPECT_THAT(refusal_of([](Json& config) {
                config["quantization_config"] = {{"bits", 4}};
              }),
              HasSubstr("config.json's quantization_config: quant_method is not given"));
}

TEST(Model, ATensorOfAnotherShapeIsNamedWithBothShapes) {
  EditedCheckpoint checkpoint("llama", [](Json& config) { config["intermediate_size"] = 192; });
  const auto model = checkpoint.load();
  ASSERT_FALSE(model);
  EXPECT_EQ(model.error().code, ErrorCode::corrupt);
  EXPECT_THAT(model.error().message, HasSubstr("mlp.gate_proj.weight is [160, 64]"));
  EXPECT_THAT(model.error().message, HasSubstr("[192, 64]"));
}

TEST(Model, WidthsThatVulkanDoesNotTakeAreNamed) {
  const auto device = open_device("vulkan", 1);
  if (!device && device.error().code == ErrorCode::unsupported) GTEST_SKIP() << to_string(device.error());
  const auto checkpoint = open_checkpoint(goldens() / "gemma4_text").value();  // layers' inputs of 16 values
  LatestProgress progress;
  const auto model = Model::load(*checkpoint, **device, {}, progress, {});
  ASSERT_FALSE(model);
  EXPECT_EQ(model.error().code, ErrorCode::unsupported);
  EXPECT_THAT(model.error().message, HasSubstr("per_layer_projection.weight: 16 columns"));
  EXPECT_THAT(model.error().hint, HasSubstr("--device cpu"));
}

TEST(Model, AMissingTensorIsNamed) {
  EditedCheckpoint checkpoint("llama", [](Json& config) { config["num_hidden_layers"] = 9; });
  const auto model = checkpoint.load();
  ASSERT_FALSE(model);
  EXPECT_EQ(model.error().code, ErrorCode::not_found);
  EXPECT_THAT(model.error().message, HasSubstr("model.layers.4."));
}

TEST(Model, NonsenseInTheConfigurationIsAnErrorAndNotACrash) {
  const Json nonsense[] = {-1, 0, 1e300, "many", Json::array(), 3.5, true, 4294967295U, nullptr};
  for (const char* key : {"hidden_size", "num_attention_heads", "num_key_value_heads", "num_hidden_layers", "head_dim",
                          "vocab_size", "max_position_embeddings", "intermediate_size"}) {
    for (const Json& value : nonsense) {
      EditedCheckpoint checkpoint("llama", [&](Json& config) { config[key] = value; });
      const auto model = checkpoint.load();
      if (value.is_null() || std::string_view(key) == "max_position_embeddings")
        continue;  // has a default, or any is fine
      EXPECT_FALSE(model) << key << " = " << value;
    }
  }
}

TEST(Model, OnlyTheFirstLayersAreLoadedWhenAsked) {
  EditedCheckpoint checkpoint("llama", leave_as_it_is);
  const auto model = checkpoint.load({.cut = {.max_layers = 2}});
  ASSERT_TRUE(model);
  EXPECT_EQ((*model)->config().layers.size(), 2U);
  auto sequence = SingleSequence::create(**model, 16, 16);
  const std::vector<int32_t> ids = {1, 2, 3};
  size_t rows = 0;
  ASSERT_TRUE(sequence->append(ids, [&](size_t, std::span<const float> logits) {
    ++rows;
    for (const float logit : logits) ASSERT_TRUE(std::isfinite(logit));
  }));
  EXPECT_EQ(rows, ids.size());
}

TEST(Model, OnlyWhatLayersShareIsLoadedWhenAsked) {
  for (const auto& folder : std::filesystem::directory_iterator(goldens())) {
    if (!std::filesystem::exists(folder.path() / "config.json")) continue;
    const auto checkpoint = open_checkpoint(folder.path());
    ASSERT_TRUE(checkpoint) << to_string(checkpoint.error());
    const auto device = open_device("cpu", 2).value();
    LatestProgress progress;
    const auto model = Model::load(**checkpoint, *device, {.cut = {.shared_only = true}}, progress, {});
    if (!model && model.error().code == ErrorCode::unsupported) continue;  // no decoder
    ASSERT_TRUE(model) << folder.path() << ": " << to_string(model.error());
    auto sequence = SingleSequence::create(**model, 16, 16);
    ASSERT_TRUE(sequence) << folder.path() << ": " << to_string(sequence.error());
    size_t finite = 0;
    const std::vector<int32_t> ids = {1, 2, 3};
    ASSERT_TRUE(sequence->append(ids, [&](size_t, std::span<const float> logits) {
      finite += static_cast<size_t>(std::ranges::count_if(logits, [](float logit) { return std::isfinite(logit); }));
    }));
    EXPECT_EQ(finite, ids.size() * (*model)->config().vocabulary) << folder.path();
  }
}

TEST(Model, ProgressEndsWithAllBytesAndLayers) {
  EditedCheckpoint checkpoint("llama", leave_as_it_is);
  ASSERT_TRUE(checkpoint.load());
  const Progress last = checkpoint.progress_.latest();
  EXPECT_EQ(last.stage, "read");
  EXPECT_EQ(last.done_bytes, last.total_bytes);
  EXPECT_GT(last.total_bytes, 400'000U);
  EXPECT_EQ(last.layer, 3);
}

TEST(Model, LoadingCanBeCancelled) {
  EditedCheckpoint checkpoint("llama", leave_as_it_is);
  std::stop_source stop;
  stop.request_stop();
  EXPECT_EQ(checkpoint.load({}, stop.get_token()).error().code, ErrorCode::cancelled);
}

TEST(Model, LayersOfOneWindowShareACacheGroup) {
  EditedCheckpoint gemma("gemma3_text", leave_as_it_is);
  const auto model = gemma.load();
  ASSERT_TRUE(model);
  const auto& groups = (*model)->cache_groups();
  ASSERT_EQ(groups.size(), 2U);
  EXPECT_EQ(groups[0].window, 16U);
  EXPECT_EQ(groups[1].window, 0U);
  EXPECT_EQ(groups[0].bytes_per_block, 7 * groups[1].bytes_per_block);  // seven windowed layers, one full
}

TEST(SingleSequence, RefusesIdsOutsideTheVocabularyAndTextsThatDoNotFit) {
  EditedCheckpoint checkpoint("llama", leave_as_it_is);
  const auto model = checkpoint.load();
  auto sequence = SingleSequence::create(**model, 4, 4);
  const auto ignore = [](size_t, std::span<const float>) {};
  const std::vector<int32_t> unknown = {1, 384};
  EXPECT_EQ(sequence->append(unknown, ignore).error().code, ErrorCode::invalid_argument);
  const std::vector<int32_t> too_many = {1, 2, 3, 4, 5};
  EXPECT_EQ(sequence->append(too_many, ignore).error().code, ErrorCode::invalid_argument);
}

// transformers 5.17, _compute_yarn_parameters for rope_theta 1e6, head_dim 128, factor 4, original length 32768.
TEST(Rope, YarnKeepsFastPairsDividesSlowOnesAndRampsBetween) {
  RopeSpec rope;
  rope.inverse_frequencies = rope_inverse_frequencies(1e6, 128);
  const std::vector<float> plain = rope.inverse_frequencies;
  scale_yarn(rope, 1e6, 128, {.factor = 4, .original_context = 32768, .magnitude = yarn_magnitude(4)});
  EXPECT_FLOAT_EQ(rope.inverse_frequencies[0], plain[0]);
  EXPECT_FLOAT_EQ(rope.inverse_frequencies[63], plain[63] / 4);
  for (size_t i = 1; i < plain.size(); ++i) {
    EXPECT_LE(rope.inverse_frequencies[i] / plain[i], rope.inverse_frequencies[i - 1] / plain[i - 1]);
  }
  EXPECT_NEAR(rope.magnitude, 1.1386294F, 1e-6);
}

}  // namespace
}  // namespace hearth
