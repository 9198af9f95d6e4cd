// The law of batch_invariant: a token's logits are the same bits whatever else is in its step, however its sequence was
// cut into steps, and whoever wrote the keys and values before it.

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <numeric>
#include <set>

#include "device/vulkan/recording/program.h"
#include "device/vulkan/testing/device_fixture.h"

namespace hearth::vulkan {
namespace {

constexpr uint32_t kVocabulary = 96;
constexpr uint32_t kPrompt = 70;
constexpr uint32_t kSequences = 18;
constexpr uint32_t kBlocksEach = 5;

/// All operations of decoder layers, the second one with a window. The matrices are of one format.
TestModel decoder(NumberFormat format, uint32_t layers) {
  constexpr uint32_t kHidden = 256, kFeedForward = 512, kHeads = 4, kKvHeads = 2, kHeadDim = 64;
  constexpr uint32_t kQueries = kHeads * kHeadDim, kKeys = kKvHeads * kHeadDim;
  TestModel model(21);
  RopeSpec rope;
  for (uint32_t i = 0; i < kHeadDim / 2; ++i) {
    rope.inverse_frequencies.push_back(static_cast<float>(std::pow(10000.0, -2.0 * i / kHeadDim)));
  }
  model.recording.ropes = {rope};
  auto& operations = model.recording.operations;
  const TensorId residual = model.input(kHidden, kVocabulary), normed = model.tensor(Rows::tokens, kHidden);
  const TensorId branch = model.tensor(Rows::tokens, kHidden);
  const auto add_norm = [&](std::optional<TensorId> added) {
    operations.push_back(
        AddNorm{.residual = residual, .branch = added, .norm = model.vector(kHidden, 0.1F, 1), .out = normed});
  };
  add_norm({});
  for (uint32_t i = 0; i < layers; ++i) {
    const TensorId qkv = model.tensor(Rows::tokens, kQueries + 2 * kKeys), query = model.tensor(Rows::tokens, kQueries);
    const TensorId mixed = model.tensor(Rows::tokens, kQueries), activated = model.tensor(Rows::tokens, kFeedForward);
    operations.push_back(Linear{.in = normed,
                                .weight = model.matrix({{format, kQueries}, {format, 2 * kKeys}}, kHidden),
                                .bias = model.vector(kQueries + 2 * kKeys, 0.1F),
                                .out = qkv});
    operations.push_back(RopeAndStore{.qkv = qkv,
                                      .heads = kHeads,
                                      .kv_heads = kKvHeads,
                                      .head_dim = kHeadDim,
                                      .q_norm = model.vector(kHeadDim, 0.1F, 1),
                                      .rope = RopeId{0},
                                      .cache_layer = {i},
                                      .out = query});
    operations.push_back(Attention{.query = query,
                                   .heads = kHeads,
                                   .kv_heads = kKvHeads,
                                   .head_dim = kHeadDim,
                                   .scale = 0.125F,
                                   .softcap = 20,
                                   .window = i == 1 ? 30U : 0U,
                                   .cache_layer = {i},
                                   .out = mixed});
    operations.push_back(Linear{.in = mixed, .weight = model.matrix({{format, kHidden}}, kQueries), .out = branch});
    add_norm(branch);
    operations.push_back(
        GateUp{.in = normed,
               .gate_up = model.gate_up_matrix({{format, kFeedForward}, {format, kFeedForward}}, kHidden),
               .out = activated});
    operations.push_back(
        Linear{.in = activated, .weight = model.matrix({{format, kHidden}}, kFeedForward), .out = branch});
    add_norm(branch);
    model.cache.layers.push_back({.group = 0, .kind = KeysAndValues{kKvHeads, kHeadDim}});
  }
  const TensorId selected = model.tensor(Rows::logits, kHidden);
  model.recording.logits = model.tensor(Rows::logits, kVocabulary);
  operations.push_back(SelectRows{.in = normed, .out = selected});
  operations.push_back(
      Logits{.in = selected, .head = model.matrix({{format, kVocabulary}}, kHidden), .out = model.recording.logits});
  model.cache.blocks_per_group = {kSequences * kBlocksEach};
  return model;
}

/// Sequences of random tokens; the first two are of the same tokens.
class Sequences {
 public:
  explicit Sequences(Program& program) : program_(program) {
    std::mt19937 random(5);
    std::vector<int32_t> blocks(kSequences * kBlocksEach);
    std::iota(blocks.begin(), blocks.end(), 0);
    std::ranges::shuffle(blocks, random);
    for (uint32_t s = 0; s < kSequences; ++s) {
      tables_.emplace_back(blocks.begin() + s * kBlocksEach, blocks.begin() + (s + 1) * kBlocksEach);
      tokens_.emplace_back(kBlocksEach * kBlockTokens);
      for (int32_t& token : tokens_.back()) token = static_cast<int32_t>(random() % kVocabulary);
    }
    tokens_[1] = tokens_[0];
    lengths_.resize(kSequences);
  }

  /// Runs the next counts[s] tokens of each sequence s in one step, and returns the logits of the first one that has
  /// any.
  std::vector<float> step(const std::vector<uint32_t>& counts) {
    std::vector<int32_t> ids;
    std::vector<std::vector<std::span<const int32_t>>> views(counts.size());
    std::vector<SequenceInput> inputs;
    for (uint32_t s = 0; s < counts.size(); ++s) {
      if (counts[s] == 0) continue;
      views[s].emplace_back(tables_[s]);
      inputs.push_back({static_cast<uint32_t>(ids.size()), counts[s], lengths_[s], views[s]});
      const auto first = tokens_[s].begin() + lengths_[s];
      ids.insert(ids.end(), first, first + counts[s]);
      lengths_[s] += counts[s];
    }
    std::vector<uint32_t> rows(ids.size());
    std::iota(rows.begin(), rows.end(), 0);
    const auto output = program_.run({ids, inputs, rows});
    EXPECT_TRUE(output) << to_string(output.error());
    const auto logits = output->logits.first(size_t{inputs.front().token_count} * kVocabulary);
    return {logits.begin(), logits.end()};
  }

  /// From position 0 again.
  void restart() { lengths_.assign(kSequences, 0); }

  /// Sequence 1 goes on behind what sequence 0 has written of its first blocks.
  void share_prefix(uint32_t blocks) {
    std::copy_n(tables_[0].begin(), blocks, tables_[1].begin());
    lengths_[1] = blocks * kBlockTokens;
  }

 private:
  Program& program_;
  std::vector<std::vector<int32_t>> tables_, tokens_;
  std::vector<uint32_t> lengths_;
};

/// How many logits differ in a bit from those of the tokens from `first_token` on.
size_t differing(const std::vector<float>& is, const std::vector<float>& should, size_t first_token = 0) {
  size_t count = 0;
  EXPECT_EQ(is.size() + first_token * kVocabulary, should.size());
  for (size_t i = 0; i < is.size(); ++i) {
    count += std::memcmp(&is[i], &should[first_token * kVocabulary + i], sizeof(float)) != 0 ? 1 : 0;
  }
  return count;
}

/// Contexts are split too, into stretches of a block or more.
const std::string kTuning = "batch_invariant=1,attention_split_keys=16";
/// Rows leave the order of sums alone, and a processor that plays GPU compiles those of plain weights for half a
/// minute.
const std::string kOneRow = ",short_linear.rows=1,gate_up.rows=1,logits.rows=1";

class BatchInvarianceTest : public DeviceTest, public testing::WithParamInterface<NumberFormat> {
 protected:
  void TearDown() override {
    program_.reset();
    DeviceTest::TearDown();
  }

  /// Sequences of a decoder, and the logits of the first one's prompt, which was alone in one step.
  void prepare(NumberFormat format, uint32_t layers, const std::string& tuning) {
    ASSERT_TRUE(device_->set_tuning(tuning));
    auto program =
        decoder(format, layers).compile(*device_, {.tokens = 128, .logit_rows = 128, .sequences = kSequences});
    ASSERT_TRUE(program) << to_string(program.error());
    program_ = std::move(*program);
    sequences_.emplace(*program_);
    expected_ = sequences_->step({kPrompt});
  }

  /// The first sequence once more, in steps of these counts of its tokens and the others'.
  std::vector<float> in_steps(const std::vector<std::vector<uint32_t>>& steps) {
    sequences_->restart();
    std::vector<float> all;
    for (const auto& counts : steps) {
      const std::vector<float> logits = sequences_->step(counts);
      all.insert(all.end(), logits.begin(), logits.end());
    }
    return all;
  }

  std::unique_ptr<Program> program_;
  std::optional<Sequences> sequences_;
  std::vector<float> expected_;
};

class CompanyTest : public BatchInvarianceTest {};

TEST_P(BatchInvarianceTest, NeitherChunksNorCompanyNorACachedPrefixMoveABit) {
  const bool plain = traits(GetParam()).block_values == 1;
  prepare(GetParam(), 1, plain ? kTuning + kOneRow : kTuning);
  EXPECT_EQ(differing(in_steps({{3}, {22}, {44}, {1}}), expected_), 0U) << "in chunks";
  EXPECT_EQ(differing(in_steps({{1, 2}, {21, 3, 18}, {47, 1}, {1, 1, 1}}), expected_), 0U) << "beside others";
  sequences_->share_prefix(2);
  EXPECT_EQ(differing(sequences_->step({0, kPrompt - 32, 5}), expected_, 32), 0U) << "behind a cached prefix";
}

/// Each count of tokens has kernels of its own. Prompts are so much work here that launches are cut.
TEST_P(CompanyTest, OfAnySizeMovesNoBit) {
  prepare(GetParam(), 2, kTuning + ",submit_mflop=1");
  std::vector<std::vector<uint32_t>> steps = {{kPrompt - 17}};
  for (uint32_t others = 0; others <= 16; ++others) {
    steps.emplace_back(1 + others, 1);
    if (others % 5 == 4) steps.back().back() = 20;  // one of them is a prompt
  }
  EXPECT_EQ(differing(in_steps(steps), expected_), 0U);
}

std::vector<NumberFormat> formats() {
  return {NumberFormat::f32,  NumberFormat::f16,  NumberFormat::bf16, NumberFormat::q8_0,
          NumberFormat::q4_0, NumberFormat::q4_1, NumberFormat::q5_0, NumberFormat::q5_1,
          NumberFormat::q4_k, NumberFormat::q5_k, NumberFormat::q6_k};
}

INSTANTIATE_TEST_SUITE_P(Encodings, BatchInvarianceTest, testing::ValuesIn(formats()),
                         [](const auto& test) { return std::string(traits(test.param).name); });

TEST_F(DeviceTest, BatchInvarianceIsNotUndoneByTuning) {
  auto device = open_vulkan_device({.batch_invariant = true});
  ASSERT_TRUE(device) << to_string(device.error());
  ASSERT_TRUE((*device)->set_tuning("batch_invariant=0,few_tokens_limit=1,attention_path=2,attention_separate_rope=0"));
  auto compiled = decoder(NumberFormat::q4_0, 1).compile(**device, {.tokens = 64, .logit_rows = 64, .sequences = 2});
  ASSERT_TRUE(compiled) << to_string(compiled.error());
  auto& program = static_cast<VulkanProgram&>(**compiled);
  std::set<std::string_view> shaders;
  for (const Mix mix : {Mix::single_tokens, Mix::prompts, Mix::both}) {
    const auto listed = program.statistics(64, 64, mix);
    ASSERT_TRUE(listed) << to_string(listed.error());
    for (const Launch& launch : listed->launches) shaders.insert(name_of(launch.key.shader));
  }
  for (const char* taken : {"linear_few", "gate_up_few", "attention_few", "rope_and_store"}) {
    EXPECT_TRUE(shaders.contains(taken)) << taken;
  }
  for (const std::string_view shader : shaders) EXPECT_FALSE(shader.ends_with("_many") || shader.ends_with("_matrix"));
  const auto choices = program.choices();
  ASSERT_TRUE(choices) << to_string(choices.error());
  for (const OperationChoice& choice : *choices) EXPECT_EQ(choice.origin, "batch-invariant");
}

INSTANTIATE_TEST_SUITE_P(Encodings, CompanyTest, testing::Values(NumberFormat::q4_0),
                         [](const auto& test) { return std::string(traits(test.param).name); });

}  // namespace
}  // namespace hearth::vulkan
