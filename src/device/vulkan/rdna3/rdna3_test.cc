// Every pipeline of representative models as RADV compiles it for a family of RDNA3 GPUs, with no such GPU present:
//   rdna3_test FAMILY     phoenix (Radeon 780M) or gfx1151 (Radeon 8060S)
// What the compiler says is compared with the tables of this folder; HEARTH_UPDATE_TABLE=1 writes them anew.

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>

#include "device/vulkan/memory/weight_layout.h"
#include "device/vulkan/pipelines/pipeline_name.h"
#include "device/vulkan/rdna3/prediction.h"
#include "device/vulkan/testing/test_decoder.h"

namespace hearth::vulkan {
namespace {

const Family* family = nullptr;  // chosen by main
std::string why_skipped;         // by main, where there is no usable RADV

const std::filesystem::path kFolder = std::filesystem::path(HEARTH_SOURCE_DIR) / "src/device/vulkan/rdna3";

/// As many sequences as this decode with arithmetic in less than half of the bus time.
constexpr uint32_t kSequencesUnderHalf = 8;
/// Prompts reach this share of the matrix units' peak even when nothing overlaps; q6_k, with two scales a block, the
/// least.
constexpr double kLeastShareOfPeak = 0.5;

/// Decode with as many sequences, prompts of 64 and 512 tokens.
constexpr std::array<uint32_t, 5> kDecode = {1, 2, 4, 8, 16};
constexpr std::array<uint32_t, 2> kPrompts = {64, 512};

/// The null device, and everything compiled on it, once for all tests.
class Rdna3Test : public testing::Test {
 protected:
  static void SetUpTestSuite() {
    if (!why_skipped.empty()) return;
    auto gpu = Gpu::open({});
    ASSERT_TRUE(gpu) << to_string(gpu.error());
    gpu_ = std::move(*gpu);
    auto pipelines = Pipelines::create(*gpu_, true);
    ASSERT_TRUE(pipelines) << to_string(pipelines.error());
    pipelines_ = std::move(*pipelines);
    compile_models();
  }

  static void TearDownTestSuite() {
    pipelines_.reset();
    gpu_.reset();
  }

  void SetUp() override {
    if (!why_skipped.empty()) GTEST_SKIP() << why_skipped;
    ASSERT_FALSE(compiled_.empty());
  }

  static void compile_models() {
    using enum NumberFormat;
    const Tuning tuning = tuning_for(gpu_->properties());
    for (const DecoderShape& shape : decoder_shapes()) {
      compile_model(shape, q4_0, q8_0, tuning, compiled_);
      compile_model(shape, q8_0, q8_0, tuning, compiled_);
      compile_model(shape, f16, f16, tuning, compiled_);
      if (shape.hidden % 256 != 0) continue;
      compile_model(shape, q4_k, q6_k, tuning, compiled_);
      compile_model(shape, q6_k, q6_k, tuning, compiled_);
      if (shape.name != "llama-8b") continue;
      for (const NumberFormat format : {f32, bf16, q4_0, q4_1, q5_0, q5_1, q4_k, q5_k}) {
        compile_model(shape, format, format, tuning, compiled_);
      }
    }
  }

  /// The pipelines of one model's steps.
  static void compile_model(const DecoderShape& shape, NumberFormat linear, NumberFormat head, const Tuning& tuning,
                            CompiledPipelines& into) {
    auto decoder =
        TestDecoder::create(*gpu_, *pipelines_, tuning, shape, {.linear = linear, .head = head, .most_tokens = 512});
    ASSERT_TRUE(decoder) << shape.name << ": " << to_string(decoder.error());
    const auto compile_step = [&](uint32_t tokens, uint32_t logit_rows) {
      // Prompts beside single tokens take both kinds of attention.
      const Mix mix = tokens == logit_rows ? Mix::single_tokens : Mix::both;
      const auto step = (*decoder)->program().statistics(tokens, logit_rows, mix);
      ASSERT_TRUE(step) << shape.name << ": " << to_string(step.error());
      const auto done = compile(*gpu_, *pipelines_, step->launches, into);
      ASSERT_TRUE(done) << shape.name << ": " << to_string(done.error());
    };
    for (const uint32_t sequences : kDecode) compile_step(sequences, sequences);
    for (const uint32_t tokens : kPrompts) compile_step(tokens, 1);
    compile_step(64, 64);
  }

  /// Compares with a table of the folder, or writes it.
  static void expect_table(const std::string& file, Table table) {
    table.driver = gpu_->properties().driver;
    if (std::getenv("HEARTH_UPDATE_TABLE") != nullptr) {
      const auto written = write_table(kFolder / file, table);
      ASSERT_TRUE(written) << to_string(written.error());
      return;
    }
    const auto expected = read_table(kFolder / file);
    ASSERT_TRUE(expected) << to_string(expected.error());
    if (expected->driver != table.driver) {
      fmt::print("{} is of {}, this is {}: only spills and instructions were checked\n", file, expected->driver,
                 table.driver);
      return;
    }
    std::string changes;
    for (const std::string& line : differences(*expected, table)) changes += "  " + line + "\n";
    EXPECT_TRUE(changes.empty()) << file << " differs from what the compiler makes of the shaders now:\n"
                                 << changes
                                 << "If that is meant: HEARTH_UPDATE_TABLE=1 ctest --preset release -R rdna3";
  }

  static std::unique_ptr<Gpu> gpu_;
  static std::unique_ptr<Pipelines> pipelines_;
  static CompiledPipelines compiled_;
};

std::unique_ptr<Gpu> Rdna3Test::gpu_;
std::unique_ptr<Pipelines> Rdna3Test::pipelines_;
CompiledPipelines Rdna3Test::compiled_;

void expect_no_spills(const CompiledPipelines& pipelines) {
  for (const auto& [key, compiled] : pipelines) {
    EXPECT_EQ(compiled.value("Spilled VGPRs"), 0) << pipeline_name(key);
    EXPECT_EQ(compiled.value("Spilled SGPRs"), 0) << pipeline_name(key);
    EXPECT_EQ(compiled.value("Scratch size"), 0) << pipeline_name(key);
  }
}

TEST_F(Rdna3Test, NothingSpills) { expect_no_spills(compiled_); }

/// They are no part of the table: what bounds them is their order, not speed.
TEST_F(Rdna3Test, NothingSpillsWithBatchInvariance) {
  Tuning tuning = tuning_for(gpu_->properties());
  tuning.batch_invariant = 1;
  keep_batch_invariant(tuning);
  const DecoderShape& shape = decoder_shapes().back();
  CompiledPipelines compiled;
  for (const NumberFormat format : {NumberFormat::q4_0, NumberFormat::q6_k, NumberFormat::f16}) {
    compile_model(shape, format, format, tuning, compiled);
  }
  EXPECT_GT(compiled.size(), 30U);
  expect_no_spills(compiled);
}

TEST_F(Rdna3Test, MatmulsOverBytesUseDotProducts) {
  size_t matmuls = 0;
  for (const auto& [key, compiled] : compiled_) {
    if (!multiplies_bytes(key)) continue;
    ++matmuls;
    EXPECT_GT(compiled.work.dots + compiled.work.matrices, 0U) << pipeline_name(key);
  }
  EXPECT_GT(matmuls, 50U);
}

TEST_F(Rdna3Test, PromptsOfSixteenBitWeightsUseMatrices) {
  size_t matmuls = 0;
  for (const auto& [key, compiled] : compiled_) {
    if (!is_matmul(key) || !uses_split_activations(constant_of(key, "ENCODING"))) continue;
    EXPECT_FALSE(key.shader == Shader::linear_many || key.shader == Shader::gate_up_many) << pipeline_name(key);
    if (key.shader != Shader::linear_half_matrix && key.shader != Shader::gate_up_half_matrix) continue;
    ++matmuls;
    EXPECT_GT(compiled.work.matrices, 0U) << pipeline_name(key);
  }
  EXPECT_GT(matmuls, 20U);
}

/// The predictions stand on reading the assembly rightly: its vector instructions must be as many as the driver counts.
TEST_F(Rdna3Test, AssemblyIsReadWhole) {
  for (const auto& [key, compiled] : compiled_) {
    ASSERT_GT(compiled.value("Instructions"), 0) << "the driver counts no instructions";
    EXPECT_EQ(compiled.work.vector_instructions, compiled.value("VALU")) << pipeline_name(key);
    if (is_matmul(key)) {
      EXPECT_GT(compiled.assembly.split().trip.loaded_bytes, 0) << pipeline_name(key);
    }
  }
}

TEST_F(Rdna3Test, TableIsCurrent) { expect_table(fmt::format("{}.tsv", family->name), table_of(compiled_)); }

std::vector<MatmulCase> matmuls_of(const DecoderShape& s, NumberFormat format) {
  using enum MatmulCase::Kind;
  const uint32_t q = s.heads * s.head_dim, kv = s.kv_heads * s.head_dim;
  const std::string name = fmt::format("{} {}", s.name, traits(format).name);
  return {{name + " qkv", linear, format, {q, kv, kv}, s.hidden},
          {name + " output", linear, format, {s.hidden}, q},
          {name + " gate_up", gate_up, format, {s.feed_forward, s.feed_forward}, s.hidden},
          {name + " down", linear, format, {s.hidden}, s.feed_forward}};
}

std::vector<MatmulCase> predicted_matmuls() {
  std::vector<MatmulCase> all;
  for (const DecoderShape& shape : decoder_shapes()) {
    if (!shape.gemma) continue;
    for (const NumberFormat format : {NumberFormat::q4_0, NumberFormat::q4_k, NumberFormat::q6_k, NumberFormat::q8_0,
                                      NumberFormat::f16, NumberFormat::bf16}) {
      std::ranges::move(matmuls_of(shape, format), std::back_inserter(all));
    }
    all.push_back({fmt::format("{} q8_0 head", shape.name),
                   MatmulCase::Kind::logits,
                   NumberFormat::q8_0,
                   {262208},
                   shape.hidden});
  }
  return all;
}

/// Decode lives from the memory bus: what the vector units do meanwhile must leave room for everything that a compiler
/// does not know, such as waiting. Prompts live from the matrix units.
TEST_F(Rdna3Test, MatmulsKeepToWhatBoundsThem) {
  Table table;
  table.columns = {"matmul",           "bus_us",       "arithmetic_us",   "arithmetic/bus",
                   "shared_memory_us", "in_flight_kb", "of_peak_at_best", "of_peak_at_worst"};
  table.notes = {fmt::format("{}: {} units, {} GHz, {} GB/s; the compiler's word, not a measurement (docs/rdna3.md)",
                             family->product, family->units, family->gigahertz, family->bus_gb_per_second)};
  for (const MatmulCase& matmul : predicted_matmuls()) {
    for (const uint32_t tokens : {1U, 2U, 4U, 8U, 16U, 32U, 64U, 512U}) {
      if (tokens == 512 && matmul.kind == MatmulCase::Kind::logits) continue;
      const auto p = predict(*gpu_, *pipelines_, compiled_, *family, matmul, tokens);
      ASSERT_TRUE(p) << matmul.name << ": " << to_string(p.error());
      ASSERT_GT(p->arithmetic, 0) << matmul.name;
      if (tokens <= kSequencesUnderHalf) {
        EXPECT_LT(p->arithmetic_share_of_bus(), 0.5) << matmul.name << ", " << tokens << " tokens";
      }
      if (tokens == 512) {
        EXPECT_GT(p->worst_share_of_peak(), kLeastShareOfPeak) << matmul.name;
      }
      table.rows[fmt::format("{} tokens={}", matmul.name, tokens)] = {
          fmt::format("{:.1f}", p->bus * 1e6),
          fmt::format("{:.1f}", p->arithmetic * 1e6),
          fmt::format("{:.2f}", p->arithmetic_share_of_bus()),
          fmt::format("{:.1f}", p->shared * 1e6),
          fmt::format("{:.0f}", p->in_flight_bytes / 1024),
          fmt::format("{:.2f}", p->best_share_of_peak()),
          fmt::format("{:.2f}", p->worst_share_of_peak())};
    }
  }
  expect_table(fmt::format("{}_predictions.tsv", family->name), table);
}

/// RADV's entry for the loader, when it is new enough to know the families; else why not.
Result<std::filesystem::path> find_radv() {
  std::error_code ignored;
  for (const auto& entry : std::filesystem::directory_iterator("/usr/share/vulkan/icd.d", ignored)) {
    if (!entry.path().filename().string().starts_with("radeon_icd")) continue;
    const auto json = nlohmann::json::parse(std::ifstream(entry.path()), nullptr, false);
    const auto icd = json.is_object() ? json.value("ICD", nlohmann::json::object()) : nlohmann::json::object();
    const std::string version = icd.value("api_version", "");
    if (version < "1.4") return fail(ErrorCode::unsupported, "RADV is older than Mesa 25");
    return entry.path();
  }
  return fail(ErrorCode::unsupported, "there is no RADV (Debian: mesa-vulkan-drivers) on this machine");
}

}  // namespace
}  // namespace hearth::vulkan

int main(int argc, char** argv) {
  using namespace hearth::vulkan;
  testing::InitGoogleTest(&argc, argv);
  const std::string_view wanted = argc > 1 ? argv[1] : "phoenix";
  const auto* const found = std::ranges::find(kFamilies, wanted, &Family::name);
  if (found == kFamilies.end()) {
    fmt::print(stderr, "usage: rdna3_test phoenix|gfx1151\n");
    return 2;
  }
  family = found;
  if (const auto radv = find_radv()) {
    // Read when the driver is loaded, which has not happened yet. Older loaders know only the second name.
    setenv("RADV_FORCE_FAMILY", family->name.data(), 1);
    setenv("VK_DRIVER_FILES", radv->c_str(), 1);
    setenv("VK_ICD_FILENAMES", radv->c_str(), 1);
  } else {
    why_skipped = to_string(radv.error());
  }
  return RUN_ALL_TESTS();
}
