#include "device/cpu/cpu_device.h"

#include <gtest/gtest.h>

#include <thread>

#include "device/cpu/test_device.h"

namespace hearth::cpu {
namespace {

/// A program of one layer: embed, QKV, attention, head. Everything in one place so that a test can break one thing.
struct SmallModel {
  uint32_t hidden = 32, heads = 2, kv_heads = 1, head_dim = 16, vocabulary = 50;
  CacheSpec cache{.layers = {{0, KeysAndValues{1, 16}}}, .blocks_per_group = {8}};

  Recording record(Device& device) const {
    const uint32_t qkv = (heads + 2 * kv_heads) * head_dim;
    Recording r;
    r.tensors = {{"x", Rows::tokens, hidden},
                 {"qkv", Rows::tokens, qkv},
                 {"q", Rows::tokens, heads * head_dim},
                 {"mixed", Rows::tokens, heads * head_dim},
                 {"selected", Rows::logits, heads * head_dim},
                 {"logits", Rows::logits, vocabulary}};
    r.operations.push_back(
        Embed{.table = add_table(device, random_values(size_t{vocabulary} * hidden, 1), hidden), .out = {0}});
    const MatrixId weight = add_matrix(device, {{NumberFormat::q8_0, qkv}}, hidden, 2);
    r.operations.push_back(Linear{.in = {0}, .weight = weight, .out = {1}});
    r.operations.push_back(
        RopeAndStore{.qkv = {1}, .heads = heads, .kv_heads = kv_heads, .head_dim = head_dim, .out = {2}});
    r.operations.push_back(
        Attention{.query = {2}, .heads = heads, .kv_heads = kv_heads, .head_dim = head_dim, .out = {3}});
    r.operations.push_back(SelectRows{.in = {3}, .out = {4}});
    const MatrixId head = add_matrix(device, {{NumberFormat::q4_0, vocabulary}}, heads * head_dim, 3);
    r.operations.push_back(Logits{.in = {4}, .head = head, .out = {5}});
    r.logits = {5};
    return r;
  }
};

struct SmallStep {
  std::vector<int32_t> ids = {1, 2, 3};
  std::vector<int32_t> blocks = {5, 0, 7};
  std::vector<uint32_t> logit_rows = {2};
  std::vector<std::span<const int32_t>> tables = {blocks};
  std::vector<SequenceInput> sequences = {{0, 3, 0, tables}};
  StepInput input() const { return {ids, sequences, logit_rows}; }
};

TEST(CpuDevice, SaysWhatItIs) {
  const auto device = open_cpu("", 3);
  EXPECT_EQ(device->info().kind, "cpu");
  EXPECT_EQ(device->info().threads, 3U);
  EXPECT_NE(device->info().description.find(available_kernels().front()->name), std::string::npos);
}

TEST(CpuDevice, TakesTheInstructionSetThatIsNamed) {
  for (const std::string& isa : isa_names()) {
    EXPECT_NE(open_cpu(isa, 1)->info().description.find(isa + ","), std::string::npos) << isa;
  }
  setenv("HEARTH_CPU_ISA", "mmx", 1);
  const auto unknown = open_cpu_device(1);
  unsetenv("HEARTH_CPU_ISA");
  ASSERT_FALSE(unknown);
  EXPECT_EQ(unknown.error().code, ErrorCode::invalid_argument);
  EXPECT_NE(to_string(unknown.error()).find("avx512vnni"), std::string::npos) << "the hint lists the names";
}

TEST(CpuDevice, RunsASmallModelAsTheReferenceDoes) {
  const SmallModel model;
  const auto cpu = open_cpu("", 2);
  const auto reference = open_reference_device(1);
  ASSERT_TRUE(cpu->create_cache(model.cache));
  ASSERT_TRUE(reference->create_cache(model.cache));
  const SmallStep step;
  EXPECT_LT(
      worst_error(run(*cpu, model.record(*cpu), step.input()), run(*reference, model.record(*reference), step.input())),
      0.05);
}

TEST(CpuDevice, CountsItsBytes) {
  const auto device = open_cpu("", 1);
  const MatrixId matrix = add_matrix(*device, {{NumberFormat::q8_0, 20}, {NumberFormat::f16, 16}}, 64, 1);
  const uint64_t q8_tile = 2 * (512 + 32);
  const uint64_t f16_tile = 64 * 16 * 2;
  EXPECT_EQ(device->matrix_bytes(matrix), 2 * q8_tile + f16_tile);
  add_vector(*device, random_values(10, 1));
  EXPECT_EQ(device->weight_bytes(), 2 * q8_tile + f16_tile + 40);
  EXPECT_EQ(device->cache_block_bytes({.kind = KeysAndValues{3, 64}}), 16 * 2U * 3 * 64 * 2);
  EXPECT_EQ(device->cache_block_bytes({.kind = State{100}}), 400U);
}

TEST(CpuDevice, RowsMayBeWrittenFromManyThreads) {
  constexpr uint32_t kRows = 256;
  constexpr uint32_t kCols = 64;
  const auto values = random_values(size_t{kRows} * kCols, 1);
  const auto bytes = encode(NumberFormat::q4_1, values, kCols);
  const size_t row_bytes = bytes_of(NumberFormat::q4_1, kCols);
  const auto device = open_cpu("", 1);
  const MatrixId table = *device->declare_matrix({.parts = {{"w", NumberFormat::q4_1, kRows}}, .cols = kCols});
  {
    std::vector<std::jthread> writers;
    for (uint32_t w = 0; w < 4; ++w) {
      writers.emplace_back([&, w] {
        for (uint32_t row = w * 16; row < kRows; row += 64) {
          EXPECT_TRUE(device->write_rows(table, 0, row, std::span(bytes).subspan(row * row_bytes, 16 * row_bytes)));
        }
      });
    }
  }
  Recording r{
      .tensors = {{"x", Rows::tokens, kCols}}, .operations = {Embed{.table = table, .out = {0}}}, .logits = {0}};
  const auto is = run(*device, r, PlainStep(first_ids(kRows)).input());
  for (uint32_t row = 0; row < kRows; ++row) {
    std::vector<float> should(kCols);
    dequantize_row(NumberFormat::q4_1, std::span(bytes).subspan(row * row_bytes, row_bytes), should);
    for (uint32_t c = 0; c < kCols; ++c) ASSERT_EQ(is[row * kCols + c], should[c]) << row;
  }
}

TEST(CpuDevice, RefusesHeadsThatItsKernelsCannotDo) {
  const auto device = open_cpu("", 1);
  const auto cache = device->create_cache({.layers = {{0, KeysAndValues{1, 40}}}, .blocks_per_group = {4}});
  ASSERT_FALSE(cache);
  EXPECT_EQ(cache.error().code, ErrorCode::unsupported);
  EXPECT_NE(cache.error().message.find("40"), std::string::npos);
}

/// Compiling the small model after `change` must fail with `code`.
template <class Change>
void expect_refused(ErrorCode code, const std::string& what, Change&& change) {
  const SmallModel model;
  const auto device = open_cpu("", 1);
  ASSERT_TRUE(device->create_cache(model.cache));
  Recording r = model.record(*device);
  change(r);
  const auto program = device->compile(r, kLimits);
  ASSERT_FALSE(program) << what;
  EXPECT_EQ(program.error().code, code) << what << ": " << program.error().message;
}

TEST(CpuDevice, RefusesRecordingsThatDoNotFitTogether) {
  expect_refused(ErrorCode::internal, "widths", [](Recording& r) { r.tensors[1].width = 80; });
  expect_refused(ErrorCode::internal, "cache layer",
                 [](Recording& r) { std::get<Attention>(r.operations[3]).cache_layer = {1}; });
  expect_refused(ErrorCode::internal, "cache shape", [](Recording& r) {
    std::get<Attention>(r.operations[3]).heads = 1;
    std::get<Attention>(r.operations[3]).head_dim = 32;
  });
  expect_refused(ErrorCode::internal, "vector",
                 [](Recording& r) { std::get<Linear>(r.operations[1]).bias = VectorId{9}; });
  expect_refused(ErrorCode::internal, "vocabulary", [](Recording& r) { r.tensors[5].width = 51; });
}

TEST(CpuDevice, AnswersStepsThatBreakTheContract) {
  const SmallModel model;
  const auto device = open_cpu("", 1);
  ASSERT_TRUE(device->create_cache(model.cache));
  const auto program = device->compile(model.record(*device), {.tokens = 4, .logit_rows = 2, .sequences = 2});
  ASSERT_TRUE(program);
  const auto refused = [&](const std::string& what, auto&& change) {
    SmallStep step;
    change(step);
    step.tables = {step.blocks};
    for (SequenceInput& sequence : step.sequences) sequence.block_tables = step.tables;
    const auto output = (*program)->run(step.input());
    ASSERT_FALSE(output) << what;
    EXPECT_EQ(output.error().code, ErrorCode::internal) << what;
  };
  refused("token outside", [](SmallStep& s) { s.ids[1] = 50; });
  refused("negative token", [](SmallStep& s) { s.ids[1] = -1; });
  refused("too many tokens", [](SmallStep& s) {
    s.ids.assign(5, 0);
    s.sequences[0].token_count = 5;
  });
  refused("row of logits", [](SmallStep& s) { s.logit_rows = {3}; });
  refused("gap", [](SmallStep& s) { s.sequences[0].first_token = 1; });
  refused("not covered", [](SmallStep& s) { s.sequences[0].token_count = 2; });
  refused("block outside", [](SmallStep& s) { s.blocks[0] = 8; });
  refused("block slid out", [](SmallStep& s) { s.blocks[0] = -1; });
  refused("short table", [](SmallStep& s) { s.sequences[0].context_tokens = 46; });
  const SmallStep good;
  EXPECT_TRUE((*program)->run(good.input()));
}

TEST(CpuDevice, MeasuresItsBandwidth) {
  const double gb_per_second = open_cpu("", 2)->measure_bandwidth_gb_per_second();
  EXPECT_GT(gb_per_second, 0.1);
  EXPECT_LT(gb_per_second, 5000.0);
}

}  // namespace
}  // namespace hearth::cpu
