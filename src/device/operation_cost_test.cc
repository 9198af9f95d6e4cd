#include "device/operation_cost.h"

#include <gtest/gtest.h>

#include <numeric>
#include <string>

#include "device/cpu/test_device.h"

namespace hearth {
namespace {

/// One layer of attention and gate and up: 64 values, 4 heads of 16 on 2 KV heads, a feed-forward of 96, 50 tokens.
struct OneLayer {
  explicit OneLayer(Device& device) {
    using cpu::add_matrix;
    table = cpu::add_table(device, cpu::random_values(size_t{50} * 64, 1), 64);
    qkv = add_matrix(device, {{NumberFormat::q8_0, 128}}, 64, 2);
    gate_up = add_matrix(device, {{NumberFormat::q4_0, 96}, {NumberFormat::q4_0, 96}}, 64, 3);
    down = add_matrix(device, {{NumberFormat::q8_0, 64}}, 96, 4);
    recording.tensors = {{"residual", Rows::tokens, 64}, {"qkv", Rows::tokens, 128},  {"query", Rows::tokens, 64},
                         {"mixed", Rows::tokens, 64},    {"act", Rows::tokens, 96},   {"branch", Rows::tokens, 64},
                         {"selected", Rows::logits, 64}, {"logits", Rows::logits, 50}};
    recording.logits = {7};
    const VectorId norm = cpu::add_vector(device, std::vector<float>(64, 1.0F));
    recording.operations = {
        Embed{.table = table, .out = {0}},
        Linear{.in = {0}, .weight = qkv, .out = {1}},
        RopeAndStore{.qkv = {1}, .heads = 4, .kv_heads = 2, .head_dim = 16, .out = {2}},
        Attention{.query = {2}, .heads = 4, .kv_heads = 2, .head_dim = 16, .window = 8, .out = {3}},
        GateUp{.in = {3}, .gate_up = gate_up, .out = {4}},
        Linear{.in = {4}, .weight = down, .out = {5}},
        AddNorm{.residual = {0}, .branch = TensorId{5}, .norm = norm, .out = TensorId{3}},
        SelectRows{.in = {3}, .out = {6}},
        Logits{.in = {6}, .head = table, .out = {7}},
    };
    EXPECT_TRUE(device.create_cache({.layers = {{0, KeysAndValues{2, 16}}}, .blocks_per_group = {8}}));
  }

  Recording recording;
  MatrixId table, qkv, gate_up, down;
};

/// Three tokens behind five, and one behind 20; logits of the last two.
struct TwoSequences {
  std::vector<int32_t> ids = {1, 2, 3, 4};
  std::vector<int32_t> first_blocks = {0}, second_blocks = {1, 2};
  std::vector<std::span<const int32_t>> first = {first_blocks}, second = {second_blocks};
  std::vector<SequenceInput> sequences = {{0, 3, 5, first}, {3, 1, 20, second}};
  std::vector<uint32_t> logit_rows = {2, 3};
  StepInput input() const { return {ids, sequences, logit_rows}; }
};

TEST(OperationCost, CountsWhatEachOperationMustRead) {
  const auto device = open_reference_device(1);
  const OneLayer layer(*device);
  const auto costs = operation_costs(layer.recording, *device, TwoSequences().input());
  const uint64_t row = 64 * 4;
  std::vector<uint64_t> bytes;
  for (const OperationCost& cost : costs) bytes.push_back(cost.bytes);
  EXPECT_EQ(bytes, (std::vector<uint64_t>{
                       4 * row,                             // a row of the float32 table for each token
                       128 * 64 / 32 * 34 + 4 * row,        // q8_0: 34 bytes for 32 values
                       4 * 2 * row,                         // q, k and v
                       (8 + 8) * 2 * 2 * 16 * 4 + 4 * row,  // all 8 positions of the first, 8 of the second
                       2 * 96 * 64 / 32 * 18 + 4 * row,     // q4_0: 18 bytes for 32 values
                       64 * 96 / 32 * 34 + 4 * 96 * 4,
                       2 * 4 * row,  // residual and branch
                       2 * row,      // two rows of logits
                       50 * row + 2 * row,
                   }));
  EXPECT_EQ(costs[1].name, "linear 64 to 128");
  EXPECT_EQ(costs[3].name, "attention, window 8");
  EXPECT_EQ(costs[6].name, "add and norm 64");
}

TEST(OperationCost, ProductsWithoutRowsReadNothing) {
  const auto device = open_reference_device(1);
  const OneLayer layer(*device);
  TwoSequences step;
  step.logit_rows.clear();
  const auto costs = operation_costs(layer.recording, *device, step.input());
  EXPECT_EQ(costs.back().bytes, 0U);
  EXPECT_GT(costs[1].bytes, 0U);
}

class ProfileTest : public testing::TestWithParam<std::string> {
 protected:
  static std::unique_ptr<Device> open() {
    return GetParam() == "cpu" ? cpu::open_cpu("", 2) : open_reference_device(2);
  }
};

TEST_P(ProfileTest, MeasuresEveryOperation) {
  const auto device = open();
  const OneLayer layer(*device);
  const auto profile = cpu::compile(*device, layer.recording)->profile(TwoSequences().input());
  ASSERT_TRUE(profile) << to_string(profile.error());
  ASSERT_EQ(profile->operation_seconds.size(), layer.recording.operations.size());
  for (const double seconds : profile->operation_seconds) EXPECT_GT(seconds, 0);
  const auto& seconds = profile->operation_seconds;
  EXPECT_LE(std::accumulate(seconds.begin(), seconds.end(), 0.0), profile->seconds);
}

/// K and V of a profiled step are in the cache like those of any other.
TEST_P(ProfileTest, IsAStepLikeAnyOther) {
  const auto logits_behind = [](bool profiled) {
    const auto device = open();
    const OneLayer layer(*device);
    const auto program = cpu::compile(*device, layer.recording);
    TwoSequences step;
    EXPECT_TRUE(profiled ? program->profile(step.input()).has_value() : program->run(step.input()).has_value());
    step.sequences[0].context_tokens += 3;
    step.sequences[1].context_tokens += 1;
    return cpu::run(*program, step.input());
  };
  EXPECT_EQ(logits_behind(true), logits_behind(false));
}

INSTANTIATE_TEST_SUITE_P(Devices, ProfileTest, testing::Values(std::string("cpu"), std::string("reference")),
                         [](const auto& test) { return test.param; });

}  // namespace
}  // namespace hearth
