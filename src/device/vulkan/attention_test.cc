// Attention with rope and cache on the Vulkan device, each path and cut, against the reference device.

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <algorithm>

#include "device/vulkan/testing/device_fixture.h"
#include "device/vulkan/testing/test_model.h"

namespace hearth::vulkan {
namespace {

/// The cache's f16, and in the matrix path queries and weights too, move a result by up to 0.1 %; a matmul over signed
/// bytes behind it by half a percent.
constexpr double kHalfTolerance = 2e-3;
constexpr double kByteTolerance = 1e-2;

constexpr uint32_t kBlocksEach = 40;
constexpr uint32_t kSequences = 3;

struct Shape {
  std::string name;
  uint32_t heads, kv_heads, head_dim;
  uint32_t window = 0;
  bool chunked = false;
  float softcap = 0;
  bool sinks = false, norms = false, interleaved = false;
  bool quantized = false;         ///< a matmul over bytes follows
  uint32_t turned_percent = 100;  ///< of a head's pairs
  HeadNorm head_norm = HeadNorm::each_head;
  bool norm_after_rope = false;
  float query_growth = 0;
  bool v_norm = false, values_are_keys = false;
  bool read_twice = false;  ///< by a second layer that has only queries
};

const std::vector<Shape> kShapes = {
    {.name = "plain", .heads = 4, .kv_heads = 4, .head_dim = 64},
    {.name = "grouped", .heads = 8, .kv_heads = 2, .head_dim = 128, .softcap = 5.0F, .norms = true},
    {.name = "window", .heads = 4, .kv_heads = 2, .head_dim = 32, .window = 24, .sinks = true},
    {.name = "interleaved", .heads = 6, .kv_heads = 2, .head_dim = 80, .interleaved = true},
    {.name = "partial_rope", .heads = 4, .kv_heads = 2, .head_dim = 24, .turned_percent = 50},
    {.name = "chunks", .heads = 4, .kv_heads = 2, .head_dim = 32, .window = 24, .chunked = true},
    {.name = "one_kv_head", .heads = 12, .kv_heads = 1, .head_dim = 64, .window = 40},
    {.name = "group_of_sixteen", .heads = 32, .kv_heads = 2, .head_dim = 48, .window = 1, .norms = true},
    {.name = "wide_heads", .heads = 2, .kv_heads = 1, .head_dim = 256},
    {.name = "widest_heads", .heads = 2, .kv_heads = 1, .head_dim = 512},
    {.name = "norm_of_all_heads",
     .heads = 4,
     .kv_heads = 2,
     .head_dim = 48,
     .norms = true,
     .head_norm = HeadNorm::all_heads},
    {.name = "layer_norms_of_heads",
     .heads = 4,
     .kv_heads = 2,
     .head_dim = 40,
     .norms = true,
     .head_norm = HeadNorm::layer_norms},
    {.name = "norm_after_rope", .heads = 4, .kv_heads = 2, .head_dim = 64, .norms = true, .norm_after_rope = true},
    {.name = "growing_queries", .heads = 4, .kv_heads = 2, .head_dim = 64, .query_growth = 0.1F},
    {.name = "normed_values", .heads = 4, .kv_heads = 2, .head_dim = 64, .norms = true, .v_norm = true},
    {.name = "keys_for_values", .heads = 4, .kv_heads = 1, .head_dim = 64, .v_norm = true, .values_are_keys = true},
    {.name = "read_twice", .heads = 4, .kv_heads = 2, .head_dim = 32, .window = 24, .norms = true, .read_twice = true},
    {.name = "to_bytes", .heads = 4, .kv_heads = 2, .head_dim = 64, .quantized = true},
    {.name = "to_bytes_small_heads", .heads = 4, .kv_heads = 4, .head_dim = 40, .quantized = true},
};

/// Norms, rope, cache and attention of random rows of Q, K and V.
TestModel attention_model(const Shape& s) {
  TestModel model(9);
  const TensorId qkv = model.input((s.heads + (s.values_are_keys ? 1 : 2) * s.kv_heads) * s.head_dim);
  const TensorId query = model.tensor(Rows::tokens, s.heads * s.head_dim);
  const TensorId mixed = model.tensor(Rows::tokens, s.heads * s.head_dim);
  RopeSpec rope = {.magnitude = s.norm_after_rope ? 1.0F : 1.1F, .interleaved = s.interleaved};
  for (uint32_t i = 0; i < s.head_dim * s.turned_percent / 200; ++i) {
    rope.inverse_frequencies.push_back(static_cast<float>(std::pow(10000.0, -2.0 * i / s.head_dim)));
  }
  model.recording.ropes = {rope};
  auto& operations = model.recording.operations;
  RopeAndStore store = {.qkv = qkv,
                        .heads = s.heads,
                        .kv_heads = s.kv_heads,
                        .head_dim = s.head_dim,
                        .rope = RopeId{0},
                        .cache_layer = {1},
                        .out = query};
  const bool each_head = s.head_norm == HeadNorm::each_head;
  if (s.norms) store.q_norm = model.vector((each_head ? 1 : s.heads) * s.head_dim, 0.1F, 1.0F);
  if (s.norms) store.k_norm = model.vector((each_head ? 1 : s.kv_heads) * s.head_dim, 0.1F, 1.0F);
  store.head_norm = s.head_norm;
  store.norm_after_rope = s.norm_after_rope;
  store.query_growth = s.query_growth;
  store.query_growth_positions = 7;
  store.query_growth_shift = 1;
  store.v_norm = s.v_norm;
  store.values_are_keys = s.values_are_keys;
  operations.push_back(store);
  Attention attention = {.query = query,
                         .heads = s.heads,
                         .kv_heads = s.kv_heads,
                         .head_dim = s.head_dim,
                         .scale = 2.0F / std::sqrt(static_cast<float>(s.head_dim)),
                         .softcap = s.softcap,
                         .window = s.window,
                         .chunked = s.chunked,
                         .cache_layer = {1},
                         .out = mixed};
  if (s.sinks) attention.sinks = model.vector(s.heads, 1.0F);
  operations.push_back(attention);
  TensorId out = mixed;
  if (s.read_twice) {
    store.qkv = model.input(s.heads * s.head_dim);
    store.kv_heads = 0;
    store.k_norm.reset();
    store.out = attention.query = model.tensor(Rows::tokens, s.heads * s.head_dim);
    out = attention.out = model.tensor(Rows::tokens, s.heads * s.head_dim);
    operations.push_back(store);
    operations.push_back(attention);
  }
  if (s.quantized) {
    out = model.tensor(Rows::tokens, 64);
    const MatrixId weight = model.matrix({{NumberFormat::q8_0, 64}}, s.heads * s.head_dim);
    operations.push_back(Linear{.in = mixed, .weight = weight, .out = out});
  }
  model.result(out);
  model.cache = {.layers = {{.group = 0, .kind = KeysAndValues{s.kv_heads, s.head_dim}},
                            {.group = 1, .kind = KeysAndValues{s.kv_heads, s.head_dim}}},
                 .blocks_per_group = {kSequences * kBlocksEach, kSequences * kBlocksEach}};
  return model;
}

/// Tokens of each sequence, step by step: prompts and chunks of all sizes, single tokens and a few at once, alone,
/// together and beside prompts, first tokens, and contexts that end in the middle of blocks, batches and tiles.
const std::vector<std::vector<uint32_t>> kSteps = {
    {1, 0, 0},    {5, 3, 0}, {37, 1, 20}, {1, 1, 1}, {150, 0, 1},  {1, 2, 1}, {1, 0, 0}, {8, 40, 0}, {1, 1, 1},
    {0, 17, 100}, {1, 1, 0}, {0, 0, 16},  {1, 0, 1}, {70, 70, 70}, {1, 1, 1}, {8, 7, 8}, {2, 30, 1}, {5, 1, 0}};

struct Case {
  Shape shape;
  std::string name;
  std::string tuning;
};

class AttentionTest : public DeviceTest, public testing::WithParamInterface<Case> {};
class FusedAttentionTest : public DeviceTest {};

TEST_P(AttentionTest, AgreesWithTheReference) {
  const Shape& shape = GetParam().shape;
  const TestModel model = attention_model(shape);
  const ProgramLimits limits = {.tokens = 256, .logit_rows = 256, .sequences = kSequences};
  ASSERT_TRUE(device_->set_tuning(GetParam().tuning));
  auto program = model.compile(*device_, limits);
  // A path may be forced that the device has no units for; everything else must run.
  const bool forced = GetParam().tuning.contains("attention_path");
  if (forced && !program && program.error().code == ErrorCode::unsupported) GTEST_SKIP() << to_string(program.error());
  ASSERT_TRUE(program) << to_string(program.error());
  const auto expected_program = model.compile(*reference_, limits).value();
  const double allowed = shape.quantized ? kByteTolerance : kHalfTolerance;
  TestSteps steps(kSequences, 2, kBlocksEach, 11);
  steps.slide(shape.window);
  for (const auto& counts : kSteps) {
    const auto step = steps.next(counts, 64);
    const auto expected = expected_program->run(step.input());
    const auto result = (*program)->run(step.input());
    ASSERT_TRUE(result) << to_string(result.error());
    ASSERT_EQ(result->logits.size(), expected->logits.size());
    const size_t width = expected->logits.size() / step.logit_rows.size();
    for (size_t row = 0; row < step.logit_rows.size(); ++row) {
      const double error =
          relative_error(result->logits.subspan(row * width, width), expected->logits.subspan(row * width, width));
      EXPECT_LT(error, allowed) << fmt::format("counts {}, row {}", fmt::join(counts, " "), row);
    }
    ASSERT_FALSE(HasFailure());
  }
}

/// The device's own choice for all shapes, and each path and cut forced for shapes that it treats differently.
std::vector<Case> cases() {
  std::vector<Case> all;
  const auto add = [&](const std::string& name, const std::string& tuning, const std::vector<std::string>& shapes) {
    for (const Shape& shape : kShapes) {
      if (shapes.empty() || std::ranges::find(shapes, shape.name) != shapes.end()) all.push_back({shape, name, tuning});
    }
  };
  add("chosen", "", {});
  add("few", "attention_path=1,attention_separate_rope=1,attention_rounds=8,attention_heads=8", {"window", "chunks"});
  add("tiles", "attention_path=2", {"grouped", "window", "chunks"});
  add("matrices", "attention_path=3", {});
  // Stretches of 16 keys, three subgroups, two query heads: everything that can be cut is.
  add("splits",
      "attention_split_keys=16,attention_workgroups=1000,attention_subgroups=3,attention_heads=2,attention_rounds=4",
      {"grouped", "to_bytes"});
  add("matrices_otherwise",
      "attention_path=3,attention_matrix_subgroups=3,attention_shared_queries=1,attention_transpose_values=1",
      {"window", "chunks"});
  return all;
}

/// A token's own key and value do not come from the cache where rope is fused into attention, and must still be what
/// the cache gives back to every later token: otherwise a text depends on whether it was computed token by token.
TEST_F(FusedAttentionTest, ATokenSeesItselfAsTheCacheKeepsIt) {
  const TestModel model = attention_model(kShapes[0]);
  std::vector<std::vector<float>> results;
  for (const char* tuning : {"attention_separate_rope=1", "attention_separate_rope=0"}) {
    ASSERT_TRUE(device_->set_tuning(tuning));
    const auto program = model.compile(*device_, {.tokens = 1, .logit_rows = 1, .sequences = 1}).value();
    TestSteps steps(1, 2, kBlocksEach, 11);
    auto& values = results.emplace_back();
    for (int i = 0; i < 3; ++i) {
      const auto step = steps.next({1}, 64);
      const auto output = program->run(step.input());
      ASSERT_TRUE(output) << to_string(output.error());
      values.insert(values.end(), output->logits.begin(), output->logits.end());
    }
  }
  EXPECT_LT(relative_error(results[1], results[0]), 1e-5) << "sums in another order, but not the 1e-4 of f16";
}

INSTANTIATE_TEST_SUITE_P(Cases, AttentionTest, testing::ValuesIn(cases()),
                         [](const auto& test) { return test.param.shape.name + "_" + test.param.name; });

}  // namespace
}  // namespace hearth::vulkan
