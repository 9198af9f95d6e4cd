// Activations that are put into the order of lanes by whoever makes them, a layer from norm to norm, against the
// reference device.

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

#include "device/vulkan/measuring/matmul_search.h"
#include "device/vulkan/recording/program.h"
#include "device/vulkan/testing/device_fixture.h"
#include "device/vulkan/testing/test_model.h"

namespace hearth::vulkan {
namespace {

/// Five products in a row over bytes, each half a percent off or more: what lies in a wrong place is off by one.
constexpr double kTolerance = 5e-2;
constexpr uint32_t kSequences = 11;  ///< no whole tile of tokens
constexpr uint32_t kHeads = 4, kKvHeads = 2, kHeadDim = 64, kHidden = 256;

class FragmentOrderTest : public DeviceTest {
 protected:
  void TearDown() override {
    program_.reset();
    DeviceTest::TearDown();
  }

  /// `feed_forward` is how wide the inner rows are, `scale` what the norms before attention (up to 1000, as values are
  /// kept in f16) and feed-forward multiply by, `norms` whether gate and up read a norm's result.
  TestModel layer(uint32_t feed_forward, float scale, bool norms = true) {
    TestModel model(21);
    const TensorId residual = model.input(kHidden);
    const auto tensor = [&](uint32_t width) { return model.tensor(Rows::tokens, width); };
    const uint32_t width = kHeads * kHeadDim, kv = kKvHeads * kHeadDim;
    const TensorId normed = tensor(kHidden), qkv = tensor(width + 2 * kv), query = tensor(width), mixed = tensor(width),
                   branch = tensor(kHidden), inner = tensor(kHidden), activated = tensor(feed_forward),
                   out = tensor(kHidden);
    RopeSpec rope;
    for (uint32_t i = 0; i < kHeadDim / 2; ++i) rope.inverse_frequencies.push_back(1.0F / static_cast<float>(i + 1));
    model.recording.ropes = {rope};
    const auto q4_0 = [&](uint32_t rows, uint32_t cols) { return model.matrix({{NumberFormat::q4_0, rows}}, cols); };
    auto& ops = model.recording.operations;
    const float first = std::min(scale, 1e3F);
    ops.push_back(AddNorm{.residual = residual, .norm = model.vector(kHidden, first, first), .out = normed});
    ops.push_back(Linear{.in = normed, .weight = q4_0(width + 2 * kv, kHidden), .out = qkv});
    ops.push_back(RopeAndStore{.qkv = qkv,
                               .heads = kHeads,
                               .kv_heads = kKvHeads,
                               .head_dim = kHeadDim,
                               .q_norm = model.vector(kHeadDim, 0.1F, 1.0F),
                               .k_norm = model.vector(kHeadDim, 0.1F, 1.0F),
                               .rope = RopeId{0},
                               .cache_layer = {0},
                               .out = query});
    ops.push_back(Attention{.query = query,
                            .heads = kHeads,
                            .kv_heads = kKvHeads,
                            .head_dim = kHeadDim,
                            .scale = 0.1F,
                            .cache_layer = {0},
                            .out = mixed});
    ops.push_back(Linear{.in = mixed, .weight = q4_0(kHidden, width), .out = branch});
    ops.push_back(
        AddNorm{.residual = residual, .branch = branch, .norm = model.vector(kHidden, scale, scale), .out = inner});
    ops.push_back(GateUp{.in = norms ? inner : branch,
                         .gate_up = model.gate_up_matrix(
                             {{NumberFormat::q4_0, feed_forward}, {NumberFormat::q4_0, feed_forward}}, kHidden),
                         .out = activated});
    ops.push_back(Linear{.in = activated, .weight = q4_0(kHidden, feed_forward), .out = out});
    model.result(out);
    model.cache = {.layers = {{.group = 0, .kind = KeysAndValues{kKvHeads, kHeadDim}}},
                   .blocks_per_group = {kSequences * 4}};
    return model;
  }

  void compile(const TestModel& model) {
    ASSERT_TRUE(device_->set_tuning(text_of(force_path(MatmulPath::fragments))));
    auto program = model.compile(*device_, {.tokens = 64, .logit_rows = 64, .sequences = kSequences});
    ASSERT_TRUE(program) << to_string(program.error());
    program_ = std::move(*program);
    reference_program_ = model.compile(*reference_, {.tokens = 64, .logit_rows = 64, .sequences = kSequences}).value();
  }

  void compare(const TestSteps::Step& step, const std::string& what) {
    const auto expected = reference_program_->run(step.input());
    const auto result = program_->run(step.input());
    ASSERT_TRUE(result) << to_string(result.error());
    for (size_t row = 0; row < step.logit_rows.size(); ++row) {
      const auto of_row = [&](const auto& logits) { return logits.subspan(row * kHidden, kHidden); };
      ASSERT_LT(relative_error(of_row(result->logits), of_row(expected->logits)), kTolerance)
          << what << ", row " << row;
    }
  }

  /// A prompt for each sequence, then two steps of single tokens.
  void compare_steps(const std::string& what) {
    TestSteps steps(kSequences, 1, 4, 7);
    std::vector<uint32_t> prompts(kSequences, 3);
    prompts[1] = 20;
    compare(steps.next(prompts, 64), what + ", prompts");
    const std::vector<uint32_t> ones(kSequences, 1);
    for (int i = 0; i < 2; ++i) compare(steps.next(ones, 64), what + ", single tokens");
  }

  /// Launches of make_fragments in a step of single tokens.
  int orderings() {
    int count = 0;
    const auto listed = static_cast<VulkanProgram&>(*program_).statistics(kSequences, kSequences);
    EXPECT_TRUE(listed) << to_string(listed.error());
    for (const Launch& launch : listed->launches) count += launch.key.shader == Shader::make_fragments ? 1 : 0;
    return count;
  }

  bool has_no_fragments() const { return !device_->info().description.contains("known elements"); }

  std::unique_ptr<Program> program_, reference_program_;
};

TEST_F(FragmentOrderTest, NormsAttentionAndGateAndUpOrderTheirResults) {
  if (has_no_fragments()) GTEST_SKIP() << "this device has no such matrices";
  compile(layer(512, 1));
  compare_steps("a layer");
  EXPECT_EQ(orderings(), 0);
}

/// Powers of two bring whatever comes into f16's range, where values of either size alone would leave it.
TEST_F(FragmentOrderTest, OfAnySize) {
  if (has_no_fragments()) GTEST_SKIP() << "this device has no such matrices";
  for (const float scale : {1e-4F, 2e4F}) {
    compile(layer(256, scale));
    compare_steps(fmt::format("norms of {}", scale));
  }
}

TEST_F(FragmentOrderTest, WhatNobodyElseOrdersIsOrderedBeforeTheMatmul) {
  if (has_no_fragments()) GTEST_SKIP() << "this device has no such matrices";
  compile(layer(288, 1));  // no whole groups of blocks
  compare_steps("rows of nine blocks");
  EXPECT_EQ(orderings(), 1);
  compile(layer(256, 1, false));
  compare_steps("gate and up over a sum");
  EXPECT_EQ(orderings(), 2);
}

}  // namespace
}  // namespace hearth::vulkan
