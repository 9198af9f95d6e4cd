#include <gtest/gtest.h>

#include <cstring>

#include "device/cpu/test_device.h"
#include "tensor/recode.h"

namespace hearth::cpu {
namespace {

class RowOperations : public testing::TestWithParam<std::string> {};
INSTANTIATE_TEST_SUITE_P(Isa, RowOperations, testing::ValuesIn(isa_names()), isa_name);

constexpr uint32_t kRows = 40;

struct NormCase {
  uint32_t width;
  bool branch, post_norm, norm;
  float branch_scale;
  NormKind kind = NormKind::rms;
  bool bias = false;
  float residual_scale = 1.0F;
  uint32_t part = 0;
};

/// Two embeddings, a residual and a branch, through AddNorm; the result is the norm's output or the residual.
Recording record_add_norm(Device& device, const NormCase& c) {
  Recording r;
  r.tensors = {{"residual", Rows::tokens, c.width}, {"branch", Rows::tokens, c.width}, {"out", Rows::tokens, c.width}};
  const auto table = [&](uint32_t seed) {
    return add_table(device, random_values(size_t{kRows} * c.width, seed), c.width);
  };
  r.operations.push_back(Embed{.table = table(1), .scale = 3.0F, .out = {0}});
  r.operations.push_back(Embed{.table = table(2), .out = {1}});
  AddNorm op{.kind = c.kind,
             .residual = {0},
             .branch_scale = c.branch_scale,
             .residual_scale = c.residual_scale,
             .part = c.part,
             .epsilon = 1e-5F};
  const uint32_t width = c.part > 0 ? c.part : c.width;
  if (c.branch) op.branch = TensorId{1};
  if (c.post_norm) op.post_norm = add_vector(device, random_values(width, 3));
  if (c.norm) op.norm = add_vector(device, random_values(width, 4));
  if (c.bias) op.norm_bias = add_vector(device, random_values(width, 5));
  if (c.norm) op.out = TensorId{2};
  r.operations.push_back(op);
  r.logits = {c.norm ? 2U : 0U};
  return r;
}

TEST_P(RowOperations, AddNormIsTheReferences) {
  for (const uint32_t width : {32U, 576U, 45U, 7U}) {
    const uint32_t part = width % 3 == 0 ? width / 3 : width;
    for (const NormCase& c : {NormCase{width, true, true, true, 1.0F}, NormCase{width, true, false, true, 0.25F},
                              NormCase{width, false, false, true, 1.0F}, NormCase{width, true, true, false, 1.0F},
                              NormCase{width, true, true, true, 1.0F, NormKind::layer},
                              NormCase{width, false, false, true, 1.0F, NormKind::layer, true},
                              NormCase{width, true, true, true, 1.0F, NormKind::rms, false, 0.7F},
                              NormCase{width, true, true, false, 0.5F, NormKind::rms, false, 1.0F, part},
                              NormCase{width, true, true, true, 1.0F, NormKind::rms, false, 0.7F, part}}) {
      const auto cpu = open_cpu(GetParam(), 2);
      const auto reference = open_reference_device(1);
      const auto program = compile(*cpu, record_add_norm(*cpu, c));
      const auto oracle = compile(*reference, record_add_norm(*reference, c));
      for (const uint32_t tokens : {1U, 2U, 17U, 40U}) {
        const PlainStep step(first_ids(tokens));
        const auto is = run(*program, step.input());
        EXPECT_LT(worst_error(is, run(*oracle, step.input())), 3e-6) << width << " tokens " << tokens;
        const auto last = run(*program, PlainStep({static_cast<int32_t>(tokens - 1)}).input());
        EXPECT_EQ(std::memcmp(&is[size_t{tokens - 1} * width], last.data(), width * sizeof(float)), 0) << tokens;
      }
    }
  }
}

constexpr Activation kActivations[] = {Activation::silu,       Activation::gelu, Activation::gelu_tanh,
                                       Activation::quick_gelu, Activation::relu, Activation::relu_squared,
                                       Activation::xielu};

TEST_P(RowOperations, ActivateIsTheReferences) {
  constexpr uint32_t kWidth = 45;
  for (const Activation activation : kActivations) {
    const auto record = [&](Device& device) {
      Recording r;
      r.tensors = {{"x", Rows::tokens, kWidth}, {"out", Rows::tokens, kWidth}};
      const MatrixId table = add_table(device, random_values(size_t{kRows} * kWidth, 7), kWidth);
      r.operations.push_back(Embed{.table = table, .scale = 4.0F, .out = {0}});
      const Xielu xielu = {.positive = 0.7F, .negative = 1.3F, .linear = 0.4F, .bound = -1e-6F};
      r.operations.push_back(Activate{.in = {0}, .activation = activation, .xielu = xielu, .out = {1}});
      r.logits = {1};
      return r;
    };
    const auto cpu = open_cpu(GetParam(), 2);
    const auto reference = open_reference_device(1);
    const PlainStep step(first_ids(kRows));
    EXPECT_LT(worst_error(run(*cpu, record(*cpu), step.input()), run(*reference, record(*reference), step.input())),
              2e-6)
        << static_cast<int>(activation);
  }
}

/// A part of the rows of one tensor, gated by rows of another, or by a number for each row.
TEST_P(RowOperations, GateIsTheReferences) {
  constexpr uint32_t kWidth = 45, kFirst = 31;
  for (const uint32_t gates : {kWidth, 1U}) {
    for (const Activation activation : {Activation::sigmoid, Activation::gelu_tanh, Activation::silu}) {
      const auto record = [&](Device& device) {
        Recording r;
        r.tensors = {{"x", Rows::tokens, 2 * kWidth}, {"gate", Rows::tokens, gates}, {"out", Rows::tokens, kWidth}};
        const auto table = [&](uint32_t width, uint32_t seed) {
          return add_table(device, random_values(size_t{kRows} * width, seed), width);
        };
        r.operations.push_back(Embed{.table = table(2 * kWidth, 7), .out = {0}});
        r.operations.push_back(Embed{.table = table(gates, 8), .scale = 3.0F, .out = {1}});
        r.operations.push_back(Gate{.in = {0}, .first = kFirst, .gate = {1}, .activation = activation, .out = {2}});
        r.logits = {2};
        return r;
      };
      const auto cpu = open_cpu(GetParam(), 2);
      const auto reference = open_reference_device(1);
      const PlainStep step(first_ids(kRows));
      EXPECT_LT(worst_error(run(*cpu, record(*cpu), step.input()), run(*reference, record(*reference), step.input())),
                2e-6)
          << gates << " gates, activation " << static_cast<int>(activation);
    }
  }
}

TEST_P(RowOperations, EmbedReadsEveryFormat) {
  for (int f = 0; f < kNumberFormatCount; ++f) {
    const auto format = static_cast<NumberFormat>(f);
    if (format == NumberFormat::i8 || format == NumberFormat::u8 || format == NumberFormat::i32) continue;
    if (held_as(format) != format) continue;
    const auto record = [&](Device& device) {
      Recording r;
      r.tensors = {{"x", Rows::tokens, 256}};
      r.operations.push_back(
          Embed{.table = add_matrix(device, {{format, 30}, {format, 10}}, 256, 6), .scale = 2.5F, .out = {0}});
      r.logits = {0};
      return r;
    };
    const auto cpu = open_cpu(GetParam(), 2);
    const auto reference = open_reference_device(1);
    const PlainStep step(first_ids(kRows));
    EXPECT_LT(worst_error(run(*cpu, record(*cpu), step.input()), run(*reference, record(*reference), step.input())),
              1e-6)
        << traits(format).name;
  }
}

/// One element at a time through each activation, times 1.
TEST_P(RowOperations, ActivationsAreAccurateEverywhere) {
  const Kernels* kernels = nullptr;
  for (const Kernels* k : available_kernels()) kernels = k->name == GetParam() ? k : kernels;
  std::vector<float> x;
  for (float v = 1e-6F; v < 90.0F; v *= 1.01F) x.insert(x.end(), {v, -v});
  const std::vector<float> ones(x.size(), 1.0F);
  std::vector<float> out(x.size());
  const auto check = [&](const char* what, auto&& f, double tolerance) {
    for (size_t i = 0; i < x.size(); ++i) {
      const double should = f(static_cast<double>(x[i]));
      EXPECT_NEAR(out[i], should, std::abs(should) * tolerance + 1e-30) << what << " of " << x[i];
    }
  };
  kernels->activate(Activation::silu, x.data(), ones.data(), out.data(), x.size());
  check(
      "silu", [](double v) { return v / (1 + std::exp(-v)); }, 2e-5);
  kernels->activate(Activation::gelu_tanh, x.data(), ones.data(), out.data(), x.size());
  for (size_t i = 0; i < x.size(); ++i) {
    const double v = x[i];
    const double should = 0.5 * v * (1 + std::tanh(0.7978845608028654 * (v + 0.044715 * v * v * v)));
    EXPECT_NEAR(out[i], should, std::abs(should) * 2e-6 + 1e-7) << "gelu of " << v;
  }
  // Exact gelu is not the one by tanh, from which it is 5e-4 away; its exponent costs digits where the tail is thin.
  kernels->activate(Activation::gelu, x.data(), ones.data(), out.data(), x.size());
  check(
      "exact gelu", [](double v) { return 0.5 * v * std::erfc(-v / std::sqrt(2.0)); }, 2e-5);
  kernels->activate(Activation::relu, x.data(), ones.data(), out.data(), x.size());
  check(
      "relu", [](double v) { return std::max(v, 0.0); }, 0);
  for (const float cap : {1.0F, 30.0F, 50.0F}) {
    out = x;
    kernels->scale_and_cap(out.data(), out.size(), 1.5F, cap);
    check(
        "cap", [&](double v) { return cap * std::tanh(1.5 * v / cap); }, 1e-6);
  }
}

// Not a number must stay visible: a model that overflows has to be noticed.
TEST_P(RowOperations, NotANumberStaysOne) {
  const Kernels* kernels = nullptr;
  for (const Kernels* k : available_kernels()) kernels = k->name == GetParam() ? k : kernels;
  const std::vector<float> ones(40, 1.0F);
  for (size_t place = 0; place < 40; ++place) {
    std::vector<float> x(40, 0.5F);
    x[place] = NAN;
    std::vector<float> out(40);
    for (const Activation activation : kActivations) {
      kernels->activate_alone(activation, {}, x.data(), out.data(), out.size());
      for (size_t i = 0; i < 40; ++i) EXPECT_EQ(std::isnan(out[i]), i == place);
      if (activation == Activation::xielu) continue;  // gates nothing
      kernels->activate(activation, x.data(), ones.data(), out.data(), out.size());
      for (size_t i = 0; i < 40; ++i) EXPECT_EQ(std::isnan(out[i]), i == place);
    }
    kernels->layer_norm(x.data(), ones.data(), nullptr, 1e-6F, out.size(), out.data());
    EXPECT_TRUE(std::isnan(out[0]) && std::isnan(out[39]));
    kernels->rms_norm(x.data(), ones.data(), 1e-6F, out.size(), out.data());
    EXPECT_TRUE(std::isnan(out[0]) && std::isnan(out[39]));
  }
}

}  // namespace
}  // namespace hearth::cpu
