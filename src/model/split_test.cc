// A decoder whose layers are spread over several devices gives what it gives on one: the same bits where all of them
// are the CPU, the families' goldens within the devices' tolerances elsewhere.

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <random>

#include "device/explained_program.h"
#include "device/open_device.h"
#include "device/split/split_device.h"
#include "model/evaluate.h"
#include "model/families/family.h"
#include "model/model.h"
#include "model/testing/goldens.h"

namespace hearth {
namespace {

const std::vector<std::string> kFamilies = {"llama",
                                            "llama3_rope",
                                            "qwen2",
                                            "qwen3",
                                            "mistral",
                                            "gemma2",
                                            "gemma3_text",
                                            "cohere2",
                                            "olmo2",
                                            "apertus",
                                            "qwen3_moe",
                                            "glm4_moe",
                                            "lfm2",
                                            "qwen3_next",
                                            "qwen3_5",
                                            "granitemoehybrid",
                                            "nemotron_h",
                                            "deepseek_v3",
                                            "gemma4_text_soft",
                                            "gemma4_moe_soft"};

/// A device of the golden tests, and from which layer on it is used.
struct Part {
  std::string device;
  uint32_t first_layer = 0;
};

std::string text_of(const std::vector<Part>& parts) {
  std::string text;
  for (const Part& part : parts) text += fmt::format(" {} from layer {}", part.device, part.first_layer);
  return text;
}

class SplitTest : public testing::TestWithParam<std::string> {
 protected:
  void SetUp() override {
    auto checkpoint = open_checkpoint(goldens() / GetParam());
    ASSERT_TRUE(checkpoint) << to_string(checkpoint.error());
    checkpoint_ = std::move(*checkpoint);
    const DecoderConfig config = describe_decoder(*checkpoint_)->config;
    layers_ = static_cast<uint32_t>(config.layers.size());
    last_cut_ = layers_ - 1;
    // A layer whose keys others read stays with them.
    config.for_each_attention(
        [&](const AttentionConfig& c) { last_cut_ = std::min(last_cut_, c.reads_layer.value_or(last_cut_)); });
  }

  std::unique_ptr<Device> open(const std::vector<Part>& parts) const {
    std::vector<SplitStage> stages;
    for (const Part& part : parts) stages.push_back({open_device(part.device, 2).value(), part.first_layer});
    auto split = make_split_device(std::move(stages), layers_);
    EXPECT_TRUE(split) << to_string(split.error());
    return std::move(*split);
  }

  /// Logits of all tokens, read in chunks of different lengths.
  std::vector<float> logits_on(Device& device, std::span<const int32_t> tokens) const {
    LatestProgress progress;
    const auto model = Model::load(*checkpoint_, device, {}, progress, {});
    EXPECT_TRUE(model) << to_string(model.error());
    auto sequence = SingleSequence::create(**model, 128, 32);
    EXPECT_TRUE(sequence) << to_string(sequence.error());
    std::vector<float> all;
    const auto keep = [&](size_t, std::span<const float> row) { all.insert(all.end(), row.begin(), row.end()); };
    size_t done = 0;
    for (const size_t length : {size_t{1}, size_t{19}, size_t{2}, tokens.size() - 22}) {
      const auto ran = sequence->append(tokens.subspan(done, length), keep);
      EXPECT_TRUE(ran) << to_string(ran.error());
      done += length;
    }
    return all;
  }

  std::vector<int32_t> some_tokens() const {
    const uint32_t vocabulary = describe_decoder(*checkpoint_)->config.vocabulary;
    std::mt19937 random(7);
    std::vector<int32_t> tokens(48);
    for (int32_t& token : tokens) token = static_cast<int32_t>(random() % vocabulary);
    return tokens;
  }

  /// With the reference device alone; the tolerance is golden_test's for the worse of the two.
  void expect_agreement(const Part& first, const Part& second, double tolerance) const {
    const std::vector<int32_t> tokens = some_tokens();
    const std::vector<float> expected = logits_on(**open_device("reference", 2), tokens);
    const std::vector<float> logits = logits_on(*open({first, second}), tokens);
    ASSERT_EQ(logits.size(), expected.size());
    double error = 0, size = 0;
    for (size_t i = 0; i < logits.size(); ++i) {
      error += std::pow(static_cast<double>(logits[i]) - expected[i], 2);
      size += std::pow(static_cast<double>(expected[i]), 2);
    }
    EXPECT_LT(std::sqrt(error / size), tolerance) << text_of({first, second});
  }

  std::unique_ptr<Checkpoint> checkpoint_;
  uint32_t layers_ = 0;
  uint32_t last_cut_ = 0;  ///< the last layer that another device may begin with
};

TEST_P(SplitTest, EveryCutGivesTheBitsOfOneDevice) {
  const std::vector<int32_t> tokens = some_tokens();
  for (const std::string device : {"cpu", "reference"}) {
    const auto one = open_device(device, 2);
    const std::vector<float> expected = logits_on(**one, tokens);
    std::vector<std::vector<Part>> cuts;
    for (uint32_t layer = 1; layer <= last_cut_; ++layer) cuts.push_back({{device, 0}, {device, layer}});
    cuts.emplace_back();  // a device for each layer
    for (uint32_t layer = 0; layer <= last_cut_; ++layer) cuts.back().push_back({device, layer});
    for (const std::vector<Part>& cut : cuts) {
      const auto split = open(cut);
      ASSERT_EQ(logits_on(*split, tokens), expected) << text_of(cut);
    }
  }
}

TEST_P(SplitTest, CpuAndReferenceAgree) {
  expect_agreement({"reference", 0}, {"cpu", std::min(layers_ / 2, last_cut_)}, 2e-2);
  expect_agreement({"cpu", 0}, {"reference", 1}, 2e-2);
}

/// A step of one sequence from position 0, with its wishes.
struct WholeStep {
  std::vector<int32_t> tokens, blocks = {0, 1, 2, 3}, states = {-1, 0};
  std::vector<std::span<const int32_t>> tables;
  std::vector<SequenceInput> sequences;
  std::vector<uint32_t> logit_rows, candidates;

  StepInput input() const { return {tokens, sequences, logit_rows, candidates}; }
};

TEST_P(SplitTest, StepsProfilesAndErrorsAreThoseOfOneDevice) {
  WholeStep step = {.tokens = some_tokens(), .logit_rows = {3, 9, 40, 47}, .candidates = {1, 0, 5, 1}};
  const auto one = open_device("cpu", 1).value();
  const auto split = open({{"cpu", 0}, {"cpu", 1}, {"cpu", last_cut_}});
  LatestProgress progress;
  std::vector<std::vector<float>> logits;
  std::vector<std::vector<int32_t>> tokens;
  for (Device* device : {one.get(), split.get()}) {
    const auto model = Model::load(*checkpoint_, *device, {}, progress, {}).value();
    const size_t groups = model->cache_groups().size();
    ASSERT_TRUE(model->create_cache(std::vector<uint32_t>(groups, 4)));
    const auto program = model->compile({.tokens = 48, .logit_rows = 4, .sequences = 1}).value();
    step.tables.clear();
    for (const CacheGroup& group : model->cache_groups()) {
      step.tables.emplace_back(group.keeps_states ? step.states : step.blocks);
    }
    step.sequences = {{.token_count = 48, .block_tables = step.tables}};

    // A step that cannot be ends with an error, and the next one is as if it had never been.
    WholeStep wrong = step;
    wrong.tokens[5] = -7;
    EXPECT_EQ(program->run(wrong.input()).error().code, ErrorCode::internal);
    EXPECT_EQ(program->wait().error().code, ErrorCode::internal);
    ASSERT_TRUE(program->submit(step.input()));
    EXPECT_EQ(program->submit(step.input()).error().code, ErrorCode::internal) << "one is in flight";
    const auto output = program->wait();
    ASSERT_TRUE(output) << to_string(output.error());
    logits.emplace_back(output->logits.begin(), output->logits.end());
    tokens.emplace_back();
    for (const TokenLogit& candidate : output->candidates) tokens.back().push_back(candidate.token);

    const auto profile = program->profile(step.input());
    ASSERT_TRUE(profile) << to_string(profile.error());
    ASSERT_EQ(profile->operation_seconds.size(), model->recording().operations.size());
    EXPECT_GT(std::ranges::min(profile->operation_seconds), 0);
  }
  EXPECT_EQ(logits[1], logits[0]);
  EXPECT_EQ(tokens[1], tokens[0]);
  EXPECT_EQ(tokens[0].size(), 7U);
}

TEST_P(SplitTest, TellsWhatItsDevicesHold) {
  const auto one = open_device("cpu", 1).value();
  const auto split = open({{"cpu", 0}, {"reference", 2}});
  LatestProgress progress;
  const auto on_one = Model::load(*checkpoint_, *one, {}, progress, {}).value();
  const auto on_both = Model::load(*checkpoint_, *split, {}, progress, {}).value();
  EXPECT_GE(split->weight_bytes(), one->weight_bytes() / 2);
  EXPECT_EQ(split->memories().size(), 1U) << "both live in the host's";
  EXPECT_EQ(split->memory_of(0), split->memory_of(layers_ - 1));
  // The reference device's cache is float32, the CPU's f16.
  uint64_t expected = 0, bytes = 0, together = 0;
  for (const CacheLayerSpec& layer : cache_layers_of(on_one->config()).layers) {
    expected += cache_block_bytes(layer, layer.layer < 2 ? sizeof(uint16_t) : sizeof(float));
  }
  for (const CacheGroup& group : on_both->cache_groups()) bytes += group.bytes_per_block;
  const std::vector<CacheMemory> memories = on_both->cache_memories();
  for (const uint64_t group : memories[0].bytes_per_block) together += group;
  EXPECT_EQ(bytes, expected);
  EXPECT_EQ(together, bytes);
}

INSTANTIATE_TEST_SUITE_P(Families, SplitTest, testing::ValuesIn(kFamilies),
                         [](const auto& test) { return test.param; });

/// With Vulkan before the CPU, behind it, and twice.
class SplitVulkanTest : public SplitTest {
 protected:
  void SetUp() override {
    SplitTest::SetUp();
    const auto device = open_device("vulkan", 1);
    const bool required = std::getenv("HEARTH_VULKAN_REQUIRED") != nullptr;
    if (!device && !required) GTEST_SKIP() << to_string(device.error());
    ASSERT_TRUE(device) << to_string(device.error());
  }
};

TEST_P(SplitVulkanTest, AgreesWithTheReference) {
  expect_agreement({"vulkan", 0}, {"cpu", layers_ / 2}, 2e-2);
  expect_agreement({"cpu", 0}, {"vulkan", 1}, 2e-2);
  expect_agreement({"vulkan", 0}, {"vulkan", layers_ - 1}, 4e-3);
}

TEST_P(SplitVulkanTest, TellsHowTheGpuRunsItsLayers) {
  const auto split = open({{"cpu", 0}, {"vulkan", layers_ - 1}});
  LatestProgress progress;
  const auto model = Model::load(*checkpoint_, *split, {}, progress, {}).value();
  ASSERT_TRUE(model->create_cache(std::vector<uint32_t>(model->cache_groups().size(), 4)));
  const auto program = model->compile({.tokens = 4, .logit_rows = 1, .sequences = 1}).value();
  auto* explained = dynamic_cast<ExplainedProgram*>(program.get());
  ASSERT_NE(explained, nullptr);
  const auto choices = explained->choices();
  ASSERT_TRUE(choices) << to_string(choices.error());
  EXPECT_FALSE(choices->empty());
}

// Two that differ in most: each costs a software GPU seconds of compiling.
INSTANTIATE_TEST_SUITE_P(Families, SplitVulkanTest, testing::Values("llama", "gemma3_text"),
                         [](const auto& test) { return test.param + "_vulkan"; });

TEST(SplitDevice, RefusesStagesThatDoNotShareTheLayers) {
  const auto make = [](std::vector<uint32_t> first_layers, uint32_t layers) {
    std::vector<SplitStage> stages;
    for (const uint32_t first : first_layers) stages.push_back({open_device("reference", 1).value(), first});
    return make_split_device(std::move(stages), layers).has_value();
  };
  EXPECT_TRUE(make({0, 2}, 3));
  EXPECT_FALSE(make({}, 3));
  EXPECT_FALSE(make({1, 2}, 3));
  EXPECT_FALSE(make({0, 3}, 3));
  EXPECT_FALSE(make({0, 2, 2}, 3));
}

}  // namespace
}  // namespace hearth
