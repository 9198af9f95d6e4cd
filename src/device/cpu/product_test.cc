#include <gtest/gtest.h>

#include <cstring>

#include "device/cpu/test_device.h"

namespace hearth::cpu {
namespace {

constexpr NumberFormat kFormats[] = {NumberFormat::f32,  NumberFormat::f16,  NumberFormat::bf16, NumberFormat::q4_0,
                                     NumberFormat::q4_1, NumberFormat::q5_0, NumberFormat::q5_1, NumberFormat::q8_0,
                                     NumberFormat::q4_k, NumberFormat::q5_k, NumberFormat::q6_k, NumberFormat::mxfp4};
constexpr uint32_t kTokens[] = {1, 2, 3, 5, 7, 8, 9, 15, 16, 17, 33, 64};
constexpr uint32_t kTableRows = 70;

using Parts = std::vector<std::pair<NumberFormat, uint32_t>>;

uint32_t rows_of(const Parts& parts) {
  uint32_t rows = 0;
  for (const auto& part : parts) rows += part.second;
  return rows;
}

/// table -> Linear -> the step's result.
Recording record_linear(Device& device, const std::vector<float>& table, const Parts& parts, uint32_t cols, bool bias) {
  const uint32_t rows = rows_of(parts);
  Recording r;
  r.tensors = {{"x", Rows::tokens, cols}, {"y", Rows::tokens, rows}};
  r.operations.push_back(Embed{.table = add_table(device, table, cols), .out = {0}});
  Linear linear{.in = {0}, .weight = add_matrix(device, parts, cols, 11), .out = {1}};
  if (bias) linear.bias = add_vector(device, random_values(rows, 5));
  r.operations.push_back(linear);
  r.logits = {1};
  return r;
}

struct Shape {
  Parts parts;
  uint32_t cols;
  bool bias = false;
};

std::vector<Shape> shapes() {
  std::vector<Shape> shapes;
  for (const NumberFormat format : kFormats) {
    shapes.push_back({{{format, 50}}, 512, true});
    if (traits(format).block_values <= 32) shapes.push_back({{{format, 16}, {format, 3}}, 96});
    if (traits(format).block_values == 1) shapes.push_back({{{format, 33}}, 45});
  }
  shapes.push_back({{{NumberFormat::q4_k, 32}, {NumberFormat::q8_0, 17}, {NumberFormat::q6_k, 16}}, 256, true});
  shapes.push_back({{{NumberFormat::q5_0, 16}, {NumberFormat::bf16, 16}}, 64});
  return shapes;
}

std::string describe(const Shape& shape, uint32_t tokens) {
  std::string text;
  for (const auto& [format, rows] : shape.parts)
    text += std::string(traits(format).name) + " x " + std::to_string(rows) + " ";
  return text + "cols " + std::to_string(shape.cols) + " tokens " + std::to_string(tokens);
}

class Product : public testing::TestWithParam<std::string> {};
INSTANTIATE_TEST_SUITE_P(Isa, Product, testing::ValuesIn(isa_names()), isa_name);

// With activations that int8 holds exactly only the rounding of float sums is left.
TEST_P(Product, IsTheReferences) {
  for (const Shape& shape : shapes()) {
    const auto cpu = open_cpu(GetParam(), 2);
    const auto reference = open_reference_device(2);
    const auto table = int8_values(size_t{kTableRows} * shape.cols, 1);
    const auto program = compile(*cpu, record_linear(*cpu, table, shape.parts, shape.cols, shape.bias));
    const auto oracle = compile(*reference, record_linear(*reference, table, shape.parts, shape.cols, shape.bias));
    const auto should = run(*oracle, PlainStep(first_ids(64)).input());
    for (const uint32_t tokens : kTokens) {
      const auto is = run(*program, PlainStep(first_ids(tokens)).input());
      const std::vector<float> expected(should.begin(), should.begin() + static_cast<ptrdiff_t>(is.size()));
      ASSERT_EQ(is.size(), size_t{tokens} * rows_of(shape.parts));
      EXPECT_LT(worst_error(is, expected), 5e-6) << describe(shape, tokens);
    }
  }
}

TEST_P(Product, Int8ActivationsCostLittle) {
  for (const NumberFormat format : {NumberFormat::q4_1, NumberFormat::q6_k, NumberFormat::q8_0}) {
    const auto cpu = open_cpu(GetParam(), 2);
    const auto reference = open_reference_device(2);
    const auto table = random_values(size_t{kTableRows} * 1024, 1);
    const auto input = PlainStep(first_ids(9));
    const auto is = run(*cpu, record_linear(*cpu, table, {{format, 64}}, 1024, false), input.input());
    const auto should = run(*reference, record_linear(*reference, table, {{format, 64}}, 1024, false), input.input());
    EXPECT_LT(worst_error(is, should), 0.03) << traits(format).name;
    EXPECT_GT(worst_error(is, should), 1e-5) << "these activations should not be exact";
  }
}

// A token's result has the same bits wherever it stands, whoever stands beside it, however many threads there are.
TEST_P(Product, IsTheSameBitsInEveryBatch) {
  for (const Shape& shape : shapes()) {
    const auto table = random_values(size_t{kTableRows} * shape.cols, 2);
    const auto alone = open_cpu(GetParam(), 1);
    const auto program = compile(*alone, record_linear(*alone, table, shape.parts, shape.cols, shape.bias));
    const size_t rows = rows_of(shape.parts);
    std::vector<float> should;
    for (int32_t id = 0; id < static_cast<int32_t>(kTableRows); ++id) {
      const auto one = run(*program, PlainStep({id}).input());
      should.insert(should.end(), one.begin(), one.end());
    }
    for (const uint32_t threads : {1U, 2U, 3U}) {
      const auto cpu = open_cpu(GetParam(), threads);
      const auto batched = compile(*cpu, record_linear(*cpu, table, shape.parts, shape.cols, shape.bias));
      for (const uint32_t tokens : kTokens) {
        std::vector<int32_t> ids(tokens);
        for (uint32_t t = 0; t < tokens; ++t) ids[t] = static_cast<int32_t>((t * 29 + tokens) % kTableRows);
        const auto is = run(*batched, PlainStep(ids).input());
        for (uint32_t t = 0; t < tokens; ++t) {
          ASSERT_EQ(std::memcmp(&is[t * rows], &should[static_cast<size_t>(ids[t]) * rows], rows * sizeof(float)), 0)
              << describe(shape, tokens) << " token " << t << " threads " << threads;
        }
      }
    }
  }
}

/// table -> GateUp -> Linear, so that the activation's output is quantised on its way.
Recording record_gate_up(Device& device, const std::vector<float>& table, NumberFormat format, uint32_t cols,
                         uint32_t width, Activation activation, bool down, bool bias = false) {
  Recording r;
  r.tensors = {{"x", Rows::tokens, cols}, {"a", Rows::tokens, width}, {"y", Rows::tokens, 48}};
  r.operations.push_back(Embed{.table = add_table(device, table, cols), .out = {0}});
  const MatrixId gate_up = add_matrix(device, {{format, width}, {format, width}}, cols, 21, MatrixRole::gate_up);
  GateUp op{.in = {0}, .gate_up = gate_up, .activation = activation, .out = {1}};
  if (bias) op.bias = add_vector(device, random_values(size_t{2} * width, 6));
  r.operations.push_back(op);
  r.logits = {1};
  if (down) {
    r.operations.push_back(Linear{.in = {1}, .weight = add_matrix(device, {{format, 48}}, width, 31), .out = {2}});
    r.logits = {2};
  }
  return r;
}

TEST_P(Product, GateUpIsTheReferences) {
  struct Case {
    NumberFormat format;
    uint32_t cols, width;
  };
  for (const Case& c : {Case{NumberFormat::q8_0, 96, 50}, Case{NumberFormat::q4_k, 256, 256},
                        Case{NumberFormat::f16, 40, 21}, Case{NumberFormat::bf16, 64, 48}}) {
    for (const Activation activation : {Activation::silu, Activation::gelu, Activation::gelu_tanh, Activation::relu}) {
      const bool bias = activation == Activation::silu || activation == Activation::gelu;
      const auto cpu = open_cpu(GetParam(), 2);
      const auto reference = open_reference_device(2);
      const auto table = int8_values(size_t{kTableRows} * c.cols, 3);
      const auto program =
          compile(*cpu, record_gate_up(*cpu, table, c.format, c.cols, c.width, activation, false, bias));
      const auto oracle =
          compile(*reference, record_gate_up(*reference, table, c.format, c.cols, c.width, activation, false, bias));
      for (const uint32_t tokens : kTokens) {
        const PlainStep step(first_ids(tokens));
        EXPECT_LT(worst_error(run(*program, step.input()), run(*oracle, step.input())), 4e-6)
            << traits(c.format).name << " tokens " << tokens;
      }
    }
  }
}

TEST_P(Product, DownAfterGateUpIsTheReferencesAndTheSameInEveryBatch) {
  for (const NumberFormat format : {NumberFormat::q4_1, NumberFormat::q6_k, NumberFormat::bf16}) {
    const auto cpu = open_cpu(GetParam(), 2);
    const auto reference = open_reference_device(2);
    const auto table = random_values(size_t{kTableRows} * 256, 4, 0.3F);
    const auto program = compile(*cpu, record_gate_up(*cpu, table, format, 256, 512, Activation::silu, true));
    const auto oracle =
        compile(*reference, record_gate_up(*reference, table, format, 256, 512, Activation::silu, true));
    for (const uint32_t tokens : {1U, 3U, 16U, 33U}) {
      const PlainStep step(first_ids(tokens));
      const auto is = run(*program, step.input());
      EXPECT_LT(worst_error(is, run(*oracle, step.input())), format == NumberFormat::bf16 ? 1e-5 : 0.06)
          << traits(format).name << " tokens " << tokens;
      const auto last = run(*program, PlainStep({static_cast<int32_t>(tokens - 1)}).input());
      EXPECT_EQ(std::memcmp(&is[(tokens - 1) * 48], last.data(), 48 * sizeof(float)), 0);
    }
  }
}

// The head's products are the result itself, so its activations are quantised twice.
TEST_P(Product, LogitsAreFine) {
  const auto record = [&](Device& device) {
    Recording r;
    r.tensors = {{"x", Rows::tokens, 256}, {"s", Rows::logits, 256}, {"y", Rows::logits, 48}};
    r.operations.push_back(
        Embed{.table = add_table(device, random_values(size_t{kTableRows} * 256, 8), 256), .out = {0}});
    r.operations.push_back(SelectRows{.in = {0}, .out = {1}});
    const MatrixId head =
        add_matrix(device, {{NumberFormat::q8_0, 16}, {NumberFormat::q6_k, 16}, {NumberFormat::q4_1, 16}}, 256, 9);
    r.operations.push_back(Logits{.in = {1}, .head = head, .out = {2}});
    r.logits = {2};
    return r;
  };
  const auto cpu = open_cpu(GetParam(), 2);
  const auto reference = open_reference_device(2);
  const auto program = compile(*cpu, record(*cpu));
  const auto oracle = compile(*reference, record(*reference));
  std::vector<float> alone;
  for (const uint32_t tokens : kTokens) {
    const PlainStep step(first_ids(tokens));
    const auto is = run(*program, step.input());
    EXPECT_LT(worst_error(is, run(*oracle, step.input())), 2e-4) << tokens;
    if (tokens == 1) alone = is;
    EXPECT_EQ(std::memcmp(is.data(), alone.data(), alone.size() * sizeof(float)), 0) << tokens;
  }
}

TEST_P(Product, LogitsAreScaledAndCapped) {
  for (const float softcap : {0.0F, 30.0F}) {
    const auto record = [&](Device& device) {
      Recording r;
      r.tensors = {{"x", Rows::tokens, 64}, {"s", Rows::logits, 64}, {"y", Rows::logits, 1003}};
      r.operations.push_back(
          Embed{.table = add_table(device, int8_values(size_t{kTableRows} * 64, 8), 64), .out = {0}});
      r.operations.push_back(SelectRows{.in = {0}, .out = {1}});
      const MatrixId head = add_matrix(device, {{NumberFormat::q8_0, 1003}}, 64, 9);
      r.operations.push_back(Logits{.in = {1}, .head = head, .scale = 7.0F, .softcap = softcap, .out = {2}});
      r.logits = {2};
      return r;
    };
    const auto cpu = open_cpu(GetParam(), 2);
    const auto reference = open_reference_device(2);
    PlainStep step(first_ids(20));
    step.logit_rows = {0, 7, 8, 19};
    const auto is = run(*cpu, record(*cpu), step.input());
    ASSERT_EQ(is.size(), size_t{4} * 1003);
    EXPECT_LT(worst_error(is, run(*reference, record(*reference), step.input())), 4e-6) << softcap;
    step.logit_rows = {};
    EXPECT_TRUE(run(*cpu, record(*cpu), step.input()).empty());
  }
}

struct RouterCase {
  RouterKind kind;
  uint32_t groups, chosen_groups;
  bool normalise, correction, clamped = false;
  bool scales = false;
  bool weighs_input = false;
  bool gated = true;
};

/// Router, experts and their sum. `experts_apart` makes a part of each expert; without it all are in one.
Recording record_experts(Device& device, const RouterCase& c, NumberFormat format, bool experts_apart) {
  constexpr uint32_t kExperts = 8, kChosen = 3, kHidden = 64, kWidth = 96;
  const auto bank = [&](uint32_t rows, uint32_t cols, uint32_t seed) {
    using Parts = std::vector<std::pair<NumberFormat, uint32_t>>;
    const Parts parts = experts_apart ? Parts(kExperts, {format, rows}) : Parts{{format, kExperts * rows}};
    return add_matrix(device, parts, cols, seed, MatrixRole::experts);
  };
  Recording r;
  r.tensors = {{"x", Rows::tokens, kHidden},
               {"scores", Rows::tokens, kExperts},
               {"routes", Rows::tokens, 2 * kChosen},
               {"activated", Rows::tokens, kChosen * kWidth},
               {"outputs", Rows::tokens, kChosen * kHidden},
               {"out", Rows::tokens, kHidden},
               {"ungated", Rows::tokens, kChosen * kWidth}};
  r.operations.push_back(Embed{.table = add_table(device, random_values(40 * kHidden, 1), kHidden), .out = {0}});
  r.operations.push_back(
      Linear{.in = {0}, .weight = add_matrix(device, {{NumberFormat::f32, kExperts}}, kHidden, 2), .out = {1}});
  ChooseExperts route{.scores = {1},
                      .kind = c.kind,
                      .experts = kExperts,
                      .chosen = kChosen,
                      .groups = c.groups,
                      .chosen_groups = c.chosen_groups,
                      .normalise = c.normalise,
                      .scale = 1.5F,
                      .out = {2}};
  if (c.correction) route.correction = add_vector(device, random_values(kExperts, 3));
  if (c.scales) route.expert_scales = add_vector(device, random_values(kExperts, 4));
  r.operations.push_back(route);
  ExpertGateUp gate_up{.in = {0},
                       .routes = {2},
                       .gate = bank(kWidth, kHidden, 10),
                       .up = bank(kWidth, kHidden, 30),
                       .experts = kExperts,
                       .chosen = kChosen,
                       .out = {3}};
  ExpertLinear down{.in = {3},
                    .routes = {2},
                    .weight = bank(kHidden, kWidth, 50),
                    .experts = kExperts,
                    .chosen = kChosen,
                    .out = {4}};
  if (c.clamped) {  // as gpt-oss has it
    gate_up.gate_bias = add_vector(device, random_values(kExperts * kWidth, 60));
    gate_up.up_bias = add_vector(device, random_values(kExperts * kWidth, 61));
    gate_up.activation = Activation::quick_gelu;
    gate_up.limit = 0.75F;
    gate_up.up_offset = 1.0F;
    down.bias = add_vector(device, random_values(kExperts * kHidden, 62));
  }
  gate_up.weighs_input = c.weighs_input;
  if (c.gated) {
    r.operations.push_back(gate_up);
  } else {  // as Nemotron 3 has it
    ExpertLinear up = down;
    up.in = {0};
    up.weight = gate_up.up;
    up.same_input = true;
    up.out = {6};
    r.operations.push_back(up);
    r.operations.push_back(Activate{.in = {6}, .activation = Activation::relu_squared, .out = {3}});
  }
  r.operations.push_back(down);
  r.operations.push_back(CombineExperts{
      .in = {4}, .routes = {2}, .chosen = kChosen, .weighted = !c.weighs_input, .shared = TensorId{0}, .out = {5}});
  r.logits = {5};
  return r;
}

TEST_P(Product, ExpertsAreTheReferences) {
  const RouterCase cases[] = {{RouterKind::softmax, 1, 1, false, false},
                              {RouterKind::softmax, 1, 1, true, false},
                              {RouterKind::softmax, 1, 1, true, false, false, true},
                              {RouterKind::sigmoid, 1, 1, true, true},
                              {RouterKind::sigmoid, 4, 2, true, true},
                              {RouterKind::softmax_of_chosen, 1, 1, false, false},
                              {RouterKind::softmax_of_chosen, 1, 1, false, false, true},
                              {RouterKind::sigmoid_of_chosen, 1, 1, false, false, false, false, true},
                              {RouterKind::sigmoid, 1, 1, true, true, false, false, false, false}};
  for (const RouterCase& c : cases) {
    for (const NumberFormat format : {NumberFormat::f32, NumberFormat::q8_0, NumberFormat::mxfp4}) {
      for (const bool apart : {false, true}) {
        const auto cpu = open_cpu(GetParam(), 2);
        const auto reference = open_reference_device(1);
        const auto program = compile(*cpu, record_experts(*cpu, c, format, apart));
        const auto oracle = compile(*reference, record_experts(*reference, c, format, apart));
        for (const uint32_t tokens : {1U, 5U, 40U}) {
          const PlainStep step(first_ids(tokens));
          const auto is = run(*program, step.input());
          EXPECT_LT(worst_error(is, run(*oracle, step.input())), format == NumberFormat::f32 ? 1e-5 : 0.1);
          const auto last = run(*program, PlainStep({static_cast<int32_t>(tokens - 1)}).input());
          EXPECT_EQ(std::memcmp(&is[size_t{tokens - 1} * 64], last.data(), 64 * sizeof(float)), 0)
              << "the bits depend on company";
        }
      }
    }
  }
}

}  // namespace
}  // namespace hearth::cpu
