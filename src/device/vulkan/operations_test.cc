// Every operation on the Vulkan device against the reference device.

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <map>
#include <set>

#include "device/vulkan/measuring/matmul_search.h"
#include "device/vulkan/pipelines/pipeline_name.h"
#include "device/vulkan/recording/program.h"
#include "device/vulkan/testing/operations_fixture.h"

namespace hearth::vulkan {
namespace {

const std::vector<NumberFormat> kPlain = {NumberFormat::f32, NumberFormat::f16, NumberFormat::bf16};
const std::vector<NumberFormat> kBlocks = {NumberFormat::q8_0, NumberFormat::q4_0, NumberFormat::q4_1,
                                           NumberFormat::q5_0, NumberFormat::q5_1, NumberFormat::q4_k,
                                           NumberFormat::q5_k, NumberFormat::q6_k, NumberFormat::mxfp4};

std::vector<NumberFormat> all_formats() {
  auto all = kPlain;
  all.insert(all.end(), kBlocks.begin(), kBlocks.end());
  return all;
}

bool is_plain(NumberFormat format) { return traits(format).block_values == 1; }
uint32_t columns(NumberFormat format) { return traits(format).block_values == 256 ? 768 : 416; }
double tolerance(NumberFormat format) { return is_plain(format) ? kFloatTolerance : kByteTolerance; }

TEST_F(OperationsTest, EmbedWidensEveryEncoding) {
  for (const NumberFormat format : all_formats()) {
    TestModel model(1);
    const uint32_t width = columns(format);
    const TensorId out = model.tensor(Rows::tokens, width);
    model.recording.operations.push_back(
        Embed{.table = model.matrix({{format, 64}}, width), .scale = 1.5F, .out = out});
    model.result(out);
    compare_token_counts(model, 1e-6, std::string(traits(format).name), {1, 5, 33});
  }
}

class EncodingTest : public OperationsTest, public testing::WithParamInterface<NumberFormat> {};

TEST_P(EncodingTest, LinearWithBiasAndUnevenRows) {
  const NumberFormat format = GetParam();
  TestModel model(2);
  const TensorId in = model.input(columns(format));
  const TensorId out = model.tensor(Rows::tokens, 77);
  model.recording.operations.push_back(Linear{
      .in = in, .weight = model.matrix({{format, 77}}, columns(format)), .bias = model.vector(77, 0.5F), .out = out});
  model.result(out);
  compare_token_counts(model, tolerance(format), "linear");
}

TEST_P(EncodingTest, GateUp) {
  const NumberFormat format = GetParam();
  for (const Activation activation : {Activation::silu, Activation::gelu, Activation::gelu_tanh, Activation::relu}) {
    // Activations do not depend on the encoding: the exact one has all, where gelus differ by more than the tolerance.
    if (activation != Activation::gelu_tanh && format != NumberFormat::f32) continue;
    TestModel model(3);
    const TensorId in = model.input(columns(format));
    const TensorId out = model.tensor(Rows::tokens, 96);
    model.recording.operations.push_back(
        GateUp{.in = in,
               .gate_up = model.gate_up_matrix({{format, 96}, {format, 96}}, columns(format)),
               .activation = activation,
               .out = out});
    model.result(out);
    // The product of two dot products carries both their errors.
    compare_token_counts(model, 3 * tolerance(format), "gate-up", {3, 17});
  }
}

TEST_P(EncodingTest, FewTokensWithOneWaitForAllWeights) {
  const NumberFormat format = GetParam();
  ASSERT_TRUE(device_->set_tuning("few_tokens_limit=16,gate_up.joined=16,short_linear.joined=16"));
  TestModel model(4);
  const TensorId in = model.input(columns(format));
  const TensorId activated = model.tensor(Rows::tokens, 256), out = model.tensor(Rows::tokens, 77);
  model.recording.operations.push_back(GateUp{
      .in = in, .gate_up = model.gate_up_matrix({{format, 256}, {format, 256}}, columns(format)), .out = activated});
  model.recording.operations.push_back(
      Linear{.in = activated, .weight = model.matrix({{format, 77}}, 256), .out = out});
  model.result(out);
  compare_token_counts(model, 3 * tolerance(format), "joined", {1, 3});
  uint32_t joined = 0;
  const auto listed = static_cast<VulkanProgram&>(*program_).statistics(1, 1);
  ASSERT_TRUE(listed) << to_string(listed.error());
  for (const Launch& launch : listed->launches) joined += constant_of(launch.key, "JOINED");
  EXPECT_EQ(joined, 2U);
}

INSTANTIATE_TEST_SUITE_P(Encodings, EncodingTest, testing::ValuesIn(all_formats()),
                         [](const auto& test) { return std::string(traits(test.param).name); });

std::string name_of_path(MatmulPath path) {
  const std::map<MatmulPath, std::string> names = {{MatmulPath::few, "few"},
                                                   {MatmulPath::tiled, "tiled"},
                                                   {MatmulPath::matrix, "matrix"},
                                                   {MatmulPath::decoded_matrix, "decoded_matrix"},
                                                   {MatmulPath::workgroup_matrix, "workgroup_matrix"},
                                                   {MatmulPath::fragments, "fragments"}};
  return names.at(path);
}

/// Each path by force, at counts of tokens where another one would be taken too.
class MatmulPathTest : public OperationsTest, public testing::WithParamInterface<MatmulPath> {
 protected:
  /// Shaders that steps of `tokens` tokens launch.
  std::set<std::string> shaders(uint32_t tokens) {
    std::set<std::string> names;
    const auto listed = static_cast<VulkanProgram&>(*program_).statistics(tokens, tokens);
    EXPECT_TRUE(listed) << to_string(listed.error());
    for (const Launch& launch : listed->launches) names.emplace(name_of(launch.key.shader));
    return names;
  }

  /// Gate and up, then a Linear; `on_matrices` is what the shaders of the matrix path are called.
  void expect_path(NumberFormat gate_up, NumberFormat linear, double allowed, const std::string& on_matrices,
                   bool biased = false) {
    ASSERT_TRUE(device_->set_tuning(text_of(force_path(GetParam()))));
    TestModel model(11);
    const TensorId in = model.input(416);
    const TensorId activated = model.tensor(Rows::tokens, 96), out = model.tensor(Rows::tokens, 77);
    model.recording.operations.push_back(GateUp{.in = in,
                                                .gate_up = model.gate_up_matrix({{gate_up, 96}, {gate_up, 96}}, 416),
                                                .bias = biased ? model.vector(192, 0.5F) : std::optional<VectorId>(),
                                                .out = activated});
    model.recording.operations.push_back(
        Linear{.in = activated, .weight = model.matrix({{linear, 77}}, 96), .out = out});
    model.result(out);
    const bool few = GetParam() == MatmulPath::few;
    compare_token_counts(model, allowed, "path", few ? std::vector{2U, 15U} : std::vector{1U, 5U, 40U});
    const bool plain = on_matrices == "half_matrix";
    std::string path = name_of_path(GetParam());
    if (path == "tiled") path = "many";
    const bool halves_only = path == "decoded_matrix" || path == "fragments";  // of blocks
    if (path == "matrix" || (halves_only && plain)) path = on_matrices;
    const auto taken = shaders(5);
    const std::string& description = device_->info().description;
    const std::string needed = path == "matrix"                ? "i8 to i32"
                               : path.starts_with("workgroup") ? "workgroup m"
                               : path == "fragments"           ? "known elements"
                                                               : "f16 to f32";
    if ((path.ends_with("matrix") || path == "fragments") && !description.contains(needed))
      GTEST_SKIP() << "this device has no such matrices";
    EXPECT_TRUE(taken.contains(fmt::format("linear_{}", path)));
    EXPECT_TRUE(taken.contains(fmt::format("gate_up_{}", path)));
    EXPECT_EQ(taken.contains("split_floats"), plain && path.ends_with("matrix"));
    EXPECT_EQ(taken.contains("halve_bytes"), path == "decoded_matrix" || (!plain && path == "workgroup_matrix"));
    EXPECT_EQ(taken.contains("make_fragments"), path == "fragments");
  }
};

TEST_P(MatmulPathTest, IsTakenAndRight) {
  expect_path(NumberFormat::q4_0, NumberFormat::q8_0, 3 * kByteTolerance, "matrix");
}

TEST_P(MatmulPathTest, IsTakenAndRightWithPlainWeights) {
  expect_path(NumberFormat::f16, NumberFormat::bf16, kFloatTolerance, "half_matrix");
}

TEST_P(MatmulPathTest, IsTakenAndRightWithBiasesOfGateAndUp) {
  expect_path(NumberFormat::q4_0, NumberFormat::q8_0, 3 * kByteTolerance, "matrix", true);
}

INSTANTIATE_TEST_SUITE_P(Paths, MatmulPathTest,
                         testing::Values(MatmulPath::few, MatmulPath::tiled, MatmulPath::matrix,
                                         MatmulPath::decoded_matrix, MatmulPath::workgroup_matrix,
                                         MatmulPath::fragments),
                         [](const auto& test) { return name_of_path(test.param); });

/// Gate and up of `width` outputs, and a Linear of 77 over them.
void add_feed_forward(TestModel& model, NumberFormat gate_up, NumberFormat linear, uint32_t width) {
  const uint32_t cols = columns(gate_up);
  const TensorId in = model.input(cols), activated = model.tensor(Rows::tokens, width),
                 out = model.tensor(Rows::tokens, 77);
  const MatrixId both = model.gate_up_matrix({{gate_up, width}, {gate_up, width}}, cols);
  model.recording.operations.push_back(GateUp{.in = in, .gate_up = both, .out = activated});
  model.recording.operations.push_back(
      Linear{.in = activated, .weight = model.matrix({{linear, 77}}, width), .out = out});
  model.result(out);
}

TEST_F(OperationsTest, FeedForwardPassesBytesOn) {
  for (const NumberFormat format : {NumberFormat::q4_0, NumberFormat::q6_k}) {
    TestModel model(4);
    add_feed_forward(model, format, format, 512);
    compare_token_counts(model, 3 * tolerance(format), "feed-forward", {2});
  }
}

/// Whatever the tuning makes of strips, teams and rows side by side.
TEST_F(OperationsTest, FeedForwardOnFragmentsOfAnyShape) {
  if (!device_->info().description.contains("known elements")) GTEST_SKIP() << "this device has no such matrices";
  const std::string forced = text_of(force_path(MatmulPath::fragments));
  for (const char* shape : {"row_parts=4,fragments.teams=2", "strips=2,fragments.ahead=1,fragments.joined=64",
                            "teams=3,fragments.joined=64", "strips=4,fragments.teams=1,fragments.tile_tokens=16",
                            "shares=2,fragments.teams=1,fragments.ahead=1",
                            "shares=2,fragments.strips=2,fragments.joined=64,fragments.pieces=2"}) {
    ASSERT_TRUE(device_->set_tuning(fmt::format("{},fragments.{}", forced, shape)));
    TestModel model(4);
    add_feed_forward(model, NumberFormat::q4_0, NumberFormat::q8_0, 352);
    compare_token_counts(model, 3 * kByteTolerance, shape, {3, 21});
  }
}

TEST_F(OperationsTest, PartsOfOneEncodingAreOneRun) {
  TestModel model(10);
  const TensorId in = model.input(256);
  const TensorId out = model.tensor(Rows::tokens, 64 + 32 + 20);
  const MatrixId weight =
      model.matrix({{NumberFormat::q8_0, 64}, {NumberFormat::q8_0, 32}, {NumberFormat::q8_0, 20}}, 256);
  model.recording.operations.push_back(Linear{.in = in, .weight = weight, .out = out});
  model.result(out);
  compare_token_counts(model, kByteTolerance, "stacked", {1, 20});
}

TEST_F(OperationsTest, LinearOfPartsInDifferentEncodings) {
  TestModel model(5);
  const TensorId in = model.input(512);
  const TensorId out = model.tensor(Rows::tokens, 64 + 32 + 48);
  const MatrixId weight =
      model.matrix({{NumberFormat::q4_k, 64}, {NumberFormat::f16, 32}, {NumberFormat::q6_k, 48}}, 512);
  model.recording.operations.push_back(Linear{.in = in, .weight = weight, .out = out});
  model.result(out);
  compare_token_counts(model, kByteTolerance, "three parts");
}

TEST_F(OperationsTest, GateAndUpInDifferentEncodingsAreHeldAsF16) {
  TestModel model(6);
  const TensorId in = model.input(512);
  const TensorId out = model.tensor(Rows::tokens, 96);
  const MatrixId weight = model.gate_up_matrix({{NumberFormat::q4_k, 96}, {NumberFormat::q6_k, 96}}, 512);
  model.recording.operations.push_back(GateUp{.in = in, .gate_up = weight, .out = out});
  model.result(out);
  compare_token_counts(model, kHalfTolerance, "mixed gate-up", {1});
}

TEST_F(OperationsTest, LogitsAreScaledAndCapped) {
  for (const float softcap : {0.0F, 3.0F}) {
    TestModel model(7);
    const TensorId in = model.input(256);
    const TensorId selected = model.tensor(Rows::logits, 256);
    model.recording.logits = model.tensor(Rows::logits, 301);
    model.recording.operations.push_back(SelectRows{.in = in, .out = selected});
    model.recording.operations.push_back(Logits{.in = selected,
                                                .head = model.matrix({{NumberFormat::q8_0, 301}}, 256),
                                                .scale = 4.0F,
                                                .softcap = softcap,
                                                .out = model.recording.logits});
    compare_token_counts(model, kByteTolerance, "logits");
  }
}

struct NormCase {
  bool branch, post_norm, norm;
  NormKind kind = NormKind::rms;
  bool bias = false;
  float residual_scale = 1;
  bool parts = false;  ///< of 32 values
};

TEST_F(OperationsTest, AddNormInAllItsForms) {
  for (const NormCase c : {NormCase{false, false, true},
                           {true, false, true},
                           {true, true, true},
                           {true, true, false},
                           {true, true, true, NormKind::layer},
                           {false, false, true, NormKind::layer, true},
                           {true, true, true, NormKind::rms, false, 0.6F},
                           {true, true, false, NormKind::rms, false, 1.0F, true},
                           {true, true, true, NormKind::rms, false, 0.6F, true}}) {
    for (const uint32_t width : {64U, 416U, 5376U}) {
      TestModel model(8);
      const uint32_t normed = c.parts ? 32 : width;
      const TensorId residual = model.input(width);
      AddNorm op = {.kind = c.kind,
                    .residual = residual,
                    .branch_scale = 0.7F,
                    .residual_scale = c.residual_scale,
                    .part = c.parts ? normed : 0,
                    .epsilon = 1e-6F};
      if (c.branch) {
        op.branch = model.input(width);
      }
      if (c.post_norm) op.post_norm = model.vector(normed, 0.1F, 1.0F);
      TensorId out = residual;
      if (c.norm) {
        op.norm = model.vector(normed, 0.1F, 1.0F);
        if (c.bias) op.norm_bias = model.vector(normed, 0.5F);
        out = model.tensor(Rows::tokens, width);
        op.out = out;
      }
      model.recording.operations.push_back(op);
      model.result(out);
      compare_token_counts(model, kFloatTolerance, fmt::format("width {}", width), {1, 3, 20});
    }
  }
}

// As where a family norms its branches only.
TEST_F(OperationsTest, WhatReadsBytesMayReadTheResidualItself) {
  TestModel model(12);
  const TensorId residual = model.input(416), branch = model.input(416), out = model.tensor(Rows::tokens, 77);
  const MatrixId weight = model.matrix({{NumberFormat::q8_0, 77}}, 416);
  model.recording.operations.push_back(AddNorm{.residual = residual, .branch = branch});
  model.recording.operations.push_back(Linear{.in = residual, .weight = weight, .out = out});
  model.result(out);
  compare_token_counts(model, kByteTolerance, "residual");
}

class ExpertsTest : public OperationsTest, public testing::WithParamInterface<NumberFormat> {};

TEST_P(ExpertsTest, AgreeWithTheReference) {
  constexpr uint32_t kExperts = 8, kChosen = 3, kWidth = 512, kHidden = 768;
  const NumberFormat format = GetParam();
  for (const RouterKind kind :
       {RouterKind::softmax, RouterKind::sigmoid, RouterKind::softmax_of_chosen, RouterKind::sigmoid_of_chosen}) {
    TestModel model(14);
    const TensorId in = model.input(kHidden), scores = model.tensor(Rows::tokens, kExperts);
    const TensorId routes = model.tensor(Rows::tokens, 2 * kChosen);
    const TensorId activated = model.tensor(Rows::tokens, kChosen * kWidth);
    const TensorId outputs = model.tensor(Rows::tokens, kChosen * kHidden), out = model.tensor(Rows::tokens, kHidden);
    auto& operations = model.recording.operations;
    operations.push_back(
        Linear{.in = in, .weight = model.matrix({{NumberFormat::f32, kExperts}}, kHidden), .out = scores});
    const bool is_corrected = kind == RouterKind::sigmoid, grouped = is_corrected || kind == RouterKind::softmax;
    operations.push_back(
        ChooseExperts{.scores = scores,
                      .kind = kind,
                      .experts = kExperts,
                      .chosen = kChosen,
                      .groups = grouped ? 4U : 1U,
                      .chosen_groups = grouped ? 2U : 1U,
                      .group_raters = kind == RouterKind::softmax ? 1U : 2U,
                      .normalise = kind != RouterKind::softmax,
                      .scale = 1.5F,
                      .correction = is_corrected ? std::optional(model.vector(kExperts, 0.5F)) : std::nullopt,
                      .expert_scales = is_corrected ? std::nullopt : std::optional(model.vector(kExperts, 0.5F, 1.0F)),
                      .out = routes});
    const bool weighs_input = kind == RouterKind::sigmoid_of_chosen;  // as Llama 4 has it
    const bool clamped = kind == RouterKind::softmax_of_chosen;       // as gpt-oss has it
    const auto bias = [&](uint32_t rows) {
      return clamped ? std::optional(model.vector(kExperts * rows, 0.5F)) : std::nullopt;
    };
    const auto bank = [&](uint32_t rows, uint32_t columns) {
      return model.matrix({{format, kExperts * rows}}, columns, MatrixRole::experts);
    };
    ExpertLinear linear = {.in = in, .routes = routes, .experts = kExperts, .chosen = kChosen};
    if (is_corrected) {  // as Nemotron 3 has it
      linear.weight = bank(kWidth, kHidden);
      linear.same_input = true;
      linear.out = model.tensor(Rows::tokens, kChosen * kWidth);
      operations.push_back(linear);
      operations.push_back(Activate{.in = linear.out, .activation = Activation::relu_squared, .out = activated});
    } else {
      operations.push_back(ExpertGateUp{.in = in,
                                        .routes = routes,
                                        .gate = bank(kWidth, kHidden),
                                        .up = bank(kWidth, kHidden),
                                        .experts = kExperts,
                                        .chosen = kChosen,
                                        .gate_bias = bias(kWidth),
                                        .up_bias = bias(kWidth),
                                        .activation = clamped ? Activation::quick_gelu : Activation::silu,
                                        .limit = clamped ? 0.5F : 0.0F,
                                        .up_offset = clamped ? 1.0F : 0.0F,
                                        .weighs_input = weighs_input,
                                        .out = activated});
    }
    linear.in = activated;
    linear.weight = bank(kHidden, kWidth);
    linear.same_input = false;
    linear.bias = bias(kHidden);
    linear.out = outputs;
    operations.push_back(linear);
    operations.push_back(CombineExperts{
        .in = outputs, .routes = routes, .chosen = kChosen, .weighted = !weighs_input, .shared = in, .out = out});
    model.result(out);
    compare_token_counts(model, kFloatTolerance, "experts", {1, 5, 17});
  }
}

INSTANTIATE_TEST_SUITE_P(Encodings, ExpertsTest,
                         testing::Values(NumberFormat::f16, NumberFormat::q4_0, NumberFormat::q6_k,
                                         NumberFormat::mxfp4),
                         [](const auto& test) { return std::string(traits(test.param).name); });

}  // namespace
}  // namespace hearth::vulkan
