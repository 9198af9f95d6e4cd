#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>
#include <numeric>

#include "device/cpu/test_device.h"
#include "tensor/float16.h"

namespace hearth::cpu {
namespace {

struct Shape {
  uint32_t heads, kv_heads, head_dim;
  uint32_t window = 0;
  bool chunked = false;
  float softcap = 0.0F;
  bool sinks = false;
  bool norms = false;
  uint32_t rotary_dim = 0;
  bool interleaved = false;
  HeadNorm head_norm = HeadNorm::each_head;
  bool norm_after_rope = false;
  float query_growth = 0.0F;
  bool v_norm = false;
  bool values_are_keys = false;
  bool read_twice = false;  ///< by a second layer that has only queries

  uint32_t row_width() const { return (heads + (values_are_keys ? 1 : 2) * kv_heads) * head_dim; }
};

constexpr uint32_t kTokenIds = 64;
constexpr uint32_t kBlocks = 220;

/// Rows of Q, K and V out of a table, through RopeAndStore and Attention.
Recording record(Device& device, const Shape& s, std::vector<float> table) {
  EXPECT_TRUE(device.create_cache(
      {.layers = {{0, KeysAndValues{s.kv_heads, s.head_dim}}, {1, KeysAndValues{s.kv_heads, s.head_dim}}},
       .blocks_per_group = {kBlocks, kBlocks}}));
  const uint32_t width = s.row_width(), out_width = s.heads * s.head_dim;
  Recording r;
  r.tensors = {{"qkv", Rows::tokens, width},
               {"q", Rows::tokens, out_width},
               {"out", Rows::tokens, out_width},
               {"second q", Rows::tokens, out_width},
               {"second out", Rows::tokens, out_width}};
  r.operations.push_back(Embed{.table = add_table(device, table, width), .out = {0}});
  RopeAndStore store{
      .qkv = {0}, .heads = s.heads, .kv_heads = s.kv_heads, .head_dim = s.head_dim, .cache_layer = {1}, .out = {1}};
  const bool each_head = s.head_norm == HeadNorm::each_head;
  if (s.norms) store.q_norm = add_vector(device, random_values((each_head ? 1 : s.heads) * s.head_dim, 40));
  if (s.norms) store.k_norm = add_vector(device, random_values((each_head ? 1 : s.kv_heads) * s.head_dim, 41));
  store.head_norm = s.head_norm;
  store.norm_after_rope = s.norm_after_rope;
  store.query_growth = s.query_growth;
  store.query_growth_positions = 7;
  store.query_growth_shift = 1;
  store.v_norm = s.v_norm;
  store.values_are_keys = s.values_are_keys;
  if (s.rotary_dim > 0) {
    RopeSpec rope{.magnitude = 1.1F, .interleaved = s.interleaved};
    for (uint32_t i = 0; i < s.rotary_dim / 2; ++i) {
      rope.inverse_frequencies.push_back(
          std::pow(10000.0F, -2.0F * static_cast<float>(i) / static_cast<float>(s.rotary_dim)));
    }
    r.ropes.push_back(rope);
    store.rope = RopeId{0};
  }
  r.operations.push_back(store);
  Attention attention{.query = {1},
                      .heads = s.heads,
                      .kv_heads = s.kv_heads,
                      .head_dim = s.head_dim,
                      .scale = 0.4F / std::sqrt(static_cast<float>(s.head_dim)),
                      .softcap = s.softcap,
                      .window = s.window,
                      .chunked = s.chunked,
                      .cache_layer = {1},
                      .out = {2}};
  if (s.sinks) attention.sinks = add_vector(device, random_values(s.heads, 42));
  r.operations.push_back(attention);
  r.logits = {2};
  if (!s.read_twice) return r;
  store.qkv = {2};
  store.kv_heads = 0;
  store.k_norm.reset();
  store.out = {3};
  attention.query = {3};
  attention.out = {4};
  r.operations.push_back(store);
  r.operations.push_back(attention);
  r.logits = {4};
  return r;
}

/// Values that f16 holds exactly, so that without rope and norms the cache loses nothing.
std::vector<float> f16_table(const Shape& s) {
  auto table = random_values(size_t{kTokenIds} * s.row_width(), 50, 2.0F);
  for (float& v : table) v = f16_to_f32(f32_to_f16(v));
  return table;
}

/// One step: how many tokens of which sequences.
using StepPlan = std::vector<std::pair<uint32_t, uint32_t>>;

/// Runs sequences of given token ids in steps, with their own shuffled blocks, forgetting what slid out of the window.
class Scenario {
 public:
  Scenario(const Shape& shape, const std::vector<uint32_t>& lengths, uint32_t seed) : shape_(shape) {
    std::mt19937 random(seed);
    std::vector<int32_t> blocks(kBlocks);
    std::iota(blocks.begin(), blocks.end(), 0);
    std::ranges::shuffle(blocks, random);
    size_t next = 0;
    for (uint32_t s = 0; s < lengths.size(); ++s) {
      std::mt19937 own(1000 + s);  // a sequence has the same tokens in every scenario
      std::vector<int32_t> ids(lengths[s]);
      for (int32_t& id : ids) id = static_cast<int32_t>(own() % kTokenIds);
      ids_.push_back(std::move(ids));
      const size_t count = (lengths[s] + kBlockTokens - 1) / kBlockTokens;
      tables_.emplace_back(blocks.begin() + static_cast<ptrdiff_t>(next),
                           blocks.begin() + static_cast<ptrdiff_t>(next + count));
      next += count;
    }
    EXPECT_LE(next, kBlocks);
  }

  /// [sequence][position * width]
  std::vector<std::vector<float>> run(Program& program, const std::vector<StepPlan>& plan) {
    std::vector<std::vector<float>> out(ids_.size());
    std::vector<uint32_t> done(ids_.size(), 0);
    for (const StepPlan& step : plan) run_step(program, step, done, out);
    return out;
  }

  size_t width() const { return size_t{shape_.heads} * shape_.head_dim; }

 private:
  void run_step(Program& program, const StepPlan& plan, std::vector<uint32_t>& done,
                std::vector<std::vector<float>>& out) {
    std::vector<int32_t> ids;
    std::vector<SequenceInput> sequences;
    std::vector<std::vector<int32_t>> tables;
    std::vector<std::vector<std::span<const int32_t>>> spans(plan.size());
    for (const auto& [s, count] : plan) {
      tables.push_back(tables_[s]);
      const uint32_t first = shape_.window > 0 && done[s] + 1 > shape_.window ? done[s] + 1 - shape_.window : 0;
      for (uint32_t b = 0; b < first / kBlockTokens; ++b) tables.back()[b] = -1;
    }
    for (size_t i = 0; i < plan.size(); ++i) {
      const auto [s, count] = plan[i];
      spans[i] = {std::span<const int32_t>{}, tables[i]};
      sequences.push_back({static_cast<uint32_t>(ids.size()), count, done[s], spans[i]});
      ids.insert(ids.end(), ids_[s].begin() + done[s], ids_[s].begin() + done[s] + count);
    }
    const auto result = hearth::cpu::run(program, {ids, sequences, {}});
    ASSERT_EQ(result.size(), ids.size() * width());
    size_t row = 0;
    for (const auto& [s, count] : plan) {
      out[s].insert(out[s].end(), result.begin() + static_cast<ptrdiff_t>(row * width()),
                    result.begin() + static_cast<ptrdiff_t>((row + count) * width()));
      row += count;
      done[s] += count;
    }
  }

  Shape shape_;
  std::vector<std::vector<int32_t>> ids_;
  std::vector<std::vector<int32_t>> tables_;
};

/// Random steps of chunks and single tokens until all sequences are done.
std::vector<StepPlan> random_plan(std::vector<uint32_t> lengths, uint32_t seed) {
  std::mt19937 random(seed);
  std::vector<StepPlan> plan;
  while (std::ranges::any_of(lengths, [](uint32_t left) { return left > 0; })) {
    StepPlan step;
    uint32_t budget = 300;
    for (uint32_t s = 0; s < lengths.size(); ++s) {
      if (lengths[s] == 0 || random() % 4 == 0) continue;
      const uint32_t chunk = random() % 3 == 0 ? 1 + random() % 5 : 1 + random() % 160;
      const uint32_t count = std::min({lengths[s], chunk, budget});
      if (count == 0) continue;
      step.emplace_back(s, count);
      lengths[s] -= count;
      budget -= count;
    }
    if (!step.empty()) plan.push_back(step);
  }
  return plan;
}

const std::vector<uint32_t> kLengths = {1, 37, 300, 16, 530, 90};

std::vector<Shape> shapes() {
  return {
      {.heads = 9, .kv_heads = 3, .head_dim = 64, .rotary_dim = 64, .interleaved = true},
      {.heads = 4, .kv_heads = 1, .head_dim = 32, .window = 100},
      {.heads = 4, .kv_heads = 1, .head_dim = 32, .window = 50, .chunked = true},
      {.heads = 4, .kv_heads = 1, .head_dim = 256, .window = 33, .norms = true, .rotary_dim = 256},
      {.heads = 2, .kv_heads = 2, .head_dim = 80, .softcap = 5.0F, .sinks = true},
      {.heads = 10, .kv_heads = 1, .head_dim = 48, .sinks = true, .rotary_dim = 24},
      {.heads = 16, .kv_heads = 8, .head_dim = 16, .window = 256, .softcap = 50.0F},
      {.heads = 3, .kv_heads = 3, .head_dim = 128, .window = 17, .sinks = true},
      {.heads = 2, .kv_heads = 1, .head_dim = 512, .v_norm = true, .values_are_keys = true},
      {.heads = 4, .kv_heads = 2, .head_dim = 48, .window = 40, .norms = true, .v_norm = true, .read_twice = true},
      {.heads = 4, .kv_heads = 2, .head_dim = 48, .norms = true, .rotary_dim = 12, .head_norm = HeadNorm::layer_norms},
  };
}

class AttentionTest : public testing::TestWithParam<std::string> {};
INSTANTIATE_TEST_SUITE_P(Isa, AttentionTest, testing::ValuesIn(isa_names()), isa_name);

TEST_P(AttentionTest, IsTheReferences) {
  uint32_t seed = 1;
  for (const Shape& shape : shapes()) {
    const auto cpu = open_cpu(GetParam(), 2);
    const auto reference = open_reference_device(2);
    const auto program = compile(*cpu, record(*cpu, shape, f16_table(shape)));
    const auto oracle = compile(*reference, record(*reference, shape, f16_table(shape)));
    const auto plan = random_plan(kLengths, ++seed);
    Scenario scenario(shape, kLengths, seed);
    const auto is = scenario.run(*program, plan);
    const auto should = scenario.run(*oracle, plan);
    const bool is_exact =
        shape.rotary_dim == 0 && !shape.norms && !shape.v_norm;  // what the cache holds; f16 costs 5e-4 of a value
    for (size_t s = 0; s < is.size(); ++s) {
      EXPECT_LT(worst_error(is[s], should[s]), is_exact ? 2e-5 : 1e-2)
          << "head_dim " << shape.head_dim << " sequence " << s;
    }
  }
}

// Whatever the chunks, the neighbours in the batch, the blocks and the threads, a position's result has the same bits.
TEST_P(AttentionTest, IsTheSameBitsHoweverItIsChunked) {
  uint32_t seed = 100;
  for (const Shape& shape : shapes()) {
    std::vector<std::vector<float>> should;
    for (const uint32_t threads : {1U, 2U, 5U}) {
      const auto cpu = open_cpu(GetParam(), threads);
      const auto program = compile(*cpu, record(*cpu, shape, f16_table(shape)));
      Scenario scenario(shape, kLengths, ++seed);
      const auto is = scenario.run(*program, random_plan(kLengths, seed));
      if (should.empty()) should = is;
      for (size_t s = 0; s < is.size(); ++s) {
        ASSERT_EQ(is[s].size(), kLengths[s] * scenario.width());
        for (size_t p = 0; p < kLengths[s]; ++p) {
          const size_t row = p * scenario.width();
          ASSERT_EQ(std::memcmp(&is[s][row], &should[s][row], scenario.width() * sizeof(float)), 0)
              << "head_dim " << shape.head_dim << " sequence " << s << " position " << p << " threads " << threads;
        }
      }
    }
  }
}

/// Fills every position of every block with K and V that are not numbers.
void poison(Device& device, const Shape& s) {
  const uint32_t width = (s.heads + 2 * s.kv_heads) * s.head_dim;
  Recording r;
  r.tensors = {{"qkv", Rows::tokens, width}, {"q", Rows::tokens, s.heads * s.head_dim}};
  const std::vector<float> large(width, 3e38F);
  r.operations.push_back(Embed{.table = add_table(device, large, width), .scale = 10.0F, .out = {0}});
  // Infinity minus infinity, as weights and tables themselves must be finite.
  r.operations.push_back(AddNorm{.residual = {0}, .branch = TensorId{0}, .branch_scale = -1.0F});
  r.operations.push_back(RopeAndStore{
      .qkv = {0}, .heads = s.heads, .kv_heads = s.kv_heads, .head_dim = s.head_dim, .cache_layer = {1}, .out = {1}});
  r.logits = {1};
  const auto program = compile(device, r);
  std::vector<int32_t> all(kBlocks);
  std::iota(all.begin(), all.end(), 0);
  const std::vector<std::span<const int32_t>> tables = {std::span<const int32_t>{}, all};
  const std::vector<int32_t> ids(kBlockTokens * 20, 0);
  for (uint32_t context = 0; context < kBlocks * kBlockTokens; context += kBlockTokens * 20) {
    const std::vector<SequenceInput> sequences = {{0, kBlockTokens * 20, context, tables}};
    const auto out = run(*program, {ids, sequences, {}});
    ASSERT_TRUE(std::isnan(out.front()) && std::isnan(out.back()));
  }
}

// A block that an overflowed request left behind must not reach the next one that gets it.
TEST_P(AttentionTest, StaleBlocksDoNotContaminate) {
  for (const Shape& shape : {shapes()[0], shapes()[2], shapes()[3]}) {
    const auto plan = random_plan(kLengths, 9);
    const auto clean = open_cpu(GetParam(), 2);
    const auto program = compile(*clean, record(*clean, shape, f16_table(shape)));
    Scenario scenario(shape, kLengths, 9);
    const auto should = scenario.run(*program, plan);

    const auto dirty = open_cpu(GetParam(), 2);
    const auto again = compile(*dirty, record(*dirty, shape, f16_table(shape)));
    poison(*dirty, shape);
    const auto is = scenario.run(*again, plan);
    for (size_t s = 0; s < is.size(); ++s) {
      ASSERT_EQ(std::memcmp(is[s].data(), should[s].data(), is[s].size() * sizeof(float)), 0)
          << "head_dim " << shape.head_dim << " sequence " << s;
    }
  }
}

}  // namespace
}  // namespace hearth::cpu
