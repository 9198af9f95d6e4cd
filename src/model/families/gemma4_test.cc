// What Gemma 4's config.json says of its layers.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "model/cache_layers.h"
#include "model/families/family.h"
#include "model/testing/edited_checkpoint.h"

namespace hearth {
namespace {

using testing::Each;
using testing::ElementsAre;
using testing::HasSubstr;
using Json = nlohmann::json;

Result<DecoderDescription> describe(const std::string& golden, const std::function<void(Json&)>& edit) {
  const EditedCheckpoint edited(golden, edit);
  return describe_decoder(*open_checkpoint(edited.path()).value());
}

DecoderConfig config_of(
    const std::string& golden, const std::function<void(Json&)>& edit = [](Json&) {}) {
  const auto description = describe(golden, edit);
  EXPECT_TRUE(description) << to_string(description.error());
  return description ? description->config : DecoderConfig{};
}

template <class Number>
std::vector<uint32_t> of_layers(const DecoderConfig& config, Number&& number) {
  std::vector<uint32_t> numbers;
  config.for_each_attention([&](const AttentionConfig& attention) { numbers.push_back(number(attention)); });
  return numbers;
}

const auto kHeadDim = [](const AttentionConfig& c) { return c.head_dim; };
const auto kKvHeads = [](const AttentionConfig& c) { return c.kv_heads; };
const auto kReads = [](const AttentionConfig& c) { return c.reads_layer.value_or(99); };

TEST(Gemma4, BothSpellingsOfLayersThatDifferMeanTheSame) {
  const DecoderConfig old = config_of("gemma4_moe_soft");
  EXPECT_THAT(of_layers(old, kHeadDim), ElementsAre(32, 64, 32, 64));
  EXPECT_THAT(of_layers(old, kKvHeads), ElementsAre(2, 1, 2, 1));
  const DecoderConfig listed = config_of("gemma4_moe_soft", [](Json& config) {
    config.erase("global_head_dim");
    config.erase("num_global_key_value_heads");
    const Json full = {{"head_dim", 64}, {"num_key_value_heads", 1}};
    config["per_layer_config"] = {{"01", full}, {"3", full}};
  });
  EXPECT_EQ(of_layers(listed, kHeadDim), of_layers(old, kHeadDim));
  EXPECT_EQ(of_layers(listed, kKvHeads), of_layers(old, kKvHeads));
}

TEST(Gemma4, LayersReadTheLastOwnLayerOfTheirKind) {
  EXPECT_THAT(of_layers(config_of("gemma4_text_soft"), kReads), ElementsAre(99, 99, 99, 99, 2, 3));
  const auto more = config_of("gemma4_text_soft", [](Json& config) { config["num_kv_shared_layers"] = 3; });
  EXPECT_THAT(of_layers(more, kReads), ElementsAre(99, 99, 99, 1, 2, 1));
  const auto none = config_of("gemma4_text_soft", [](Json& config) { config["num_kv_shared_layers"] = 0; });
  EXPECT_THAT(of_layers(none, kReads), Each(99U));
  const auto all = describe("gemma4_text_soft", [](Json& config) { config["num_kv_shared_layers"] = 5; });
  ASSERT_FALSE(all);
  EXPECT_THAT(all.error().message, HasSubstr("num_kv_shared_layers"));
}

TEST(Gemma4, LayersThatReadOthersKeysHaveNoCache) {
  const CacheLayers cache = cache_layers_of(config_of("gemma4_text_soft"));
  ASSERT_EQ(cache.layers.size(), 4U);
  for (uint32_t i = 0; i < 4; ++i) EXPECT_EQ(cache.layers[i].layer, i);
  EXPECT_EQ(cache.groups.size(), 2U);
}

TEST(Gemma4, WidthsDoubleWhereKeysAreShared) {
  const auto widths = [](const DecoderConfig& config) {
    std::vector<uint32_t> all;
    for (const LayerConfig& layer : config.layers) all.push_back(std::get<DenseConfig>(layer.feed_forward).width);
    return all;
  };
  EXPECT_THAT(widths(config_of("gemma4_text_soft")), ElementsAre(96, 96, 96, 96, 192, 192));
  const auto plain = config_of("gemma4_text_soft", [](Json& config) { config["use_double_wide_mlp"] = false; });
  EXPECT_THAT(widths(plain), Each(96U));
}

TEST(Gemma4, TheLastLayerSeesEverything) {
  const auto config = config_of("gemma4_moe_soft", [](Json& c) { c["layer_types"].back() = "sliding_attention"; });
  EXPECT_EQ(std::get<AttentionConfig>(config.layers.back().mixer).window, 0U);
}

TEST(Gemma4, AShareOfAFullHeadsPairsTurns) {
  const RopeSpec rope = config_of("gemma4_text_soft").ropes.at(0);
  ASSERT_EQ(rope.inverse_frequencies.size(), 32U) << "pairs stay half a head apart";
  for (uint32_t i = 0; i < 32; ++i) EXPECT_EQ(rope.inverse_frequencies[i] > 0, i < 8) << i;
  const auto usual = config_of("gemma4_text_soft", [](Json& config) { config.erase("rope_parameters"); });
  EXPECT_EQ(usual.ropes.at(0).inverse_frequencies, rope.inverse_frequencies);
}

}  // namespace
}  // namespace hearth
