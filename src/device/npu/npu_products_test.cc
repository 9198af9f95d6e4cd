// What an NPU multiplies is what the reference multiplies, within what bf16 rounds. The NPU is a fake XRT's.
#include <gtest/gtest.h>

#include "device/cpu/test_device.h"
#include "device/testing/made_npu_machine.h"
#include "tensor/float16.h"

namespace hearth {
namespace {

using cpu::add_matrix;
using cpu::add_table;
using cpu::add_vector;
using cpu::first_ids;
using cpu::PlainStep;
using cpu::random_values;
using cpu::worst_error;

constexpr uint32_t kTableRows = 600;
constexpr ProgramLimits kLimits{.tokens = kTableRows, .logit_rows = kTableRows, .sequences = kTableRows};

struct Shape {
  std::vector<std::pair<NumberFormat, uint32_t>> parts;
  uint32_t cols;
  bool bias = false;
};

std::vector<float> table(uint32_t cols) {
  std::vector<float> values = random_values(size_t{kTableRows} * cols, 3);
  for (float& value : values) value = bf16_to_f32(f32_to_bf16(value));
  return values;
}

/// table -> Linear -> the step's result.
Recording record_linear(Device& device, const Shape& shape) {
  uint32_t rows = 0;
  for (const auto& part : shape.parts) rows += part.second;
  Recording r;
  r.tensors = {{"x", Rows::tokens, shape.cols}, {"y", Rows::tokens, rows}};
  r.operations.emplace_back(Embed{.table = add_table(device, table(shape.cols), shape.cols), .out = {0}});
  Linear linear{.in = {0}, .weight = add_matrix(device, shape.parts, shape.cols, 11), .out = {1}};
  if (shape.bias) linear.bias = add_vector(device, random_values(rows, 5));
  r.operations.emplace_back(linear);
  r.logits = {1};
  return r;
}

/// table -> GateUp -> Linear -> the step's result; the second reads what the first leaves in every form.
Recording record_feed_forward(Device& device, uint32_t cols, uint32_t width, NumberFormat format, bool bias) {
  Recording r;
  r.tensors = {{"x", Rows::tokens, cols}, {"h", Rows::tokens, width}, {"y", Rows::tokens, cols}};
  r.operations.emplace_back(Embed{.table = add_table(device, table(cols), cols), .out = {0}});
  GateUp gate_up{.in = {0},
                 .gate_up = add_matrix(device, {{format, width}, {format, width}}, cols, 21, MatrixRole::gate_up),
                 .activation = Activation::silu,
                 .out = {1}};
  if (bias) gate_up.bias = add_vector(device, random_values(size_t{2} * width, 6));
  r.operations.emplace_back(gate_up);
  r.operations.emplace_back(Linear{.in = {1}, .weight = add_matrix(device, {{format, cols}}, width, 31), .out = {2}});
  r.logits = {2};
  return r;
}

std::unique_ptr<Program> compile(Device& device, const Recording& recording) {
  auto program = device.compile(recording, kLimits);
  EXPECT_TRUE(program) << to_string(program.error());
  return std::move(*program);
}

struct Case {
  std::string name;
  MadeNpuKernel kernel;
  double plain_tolerance;    ///< where input and weights are of bf16 already
  double rounded_tolerance;  ///< where bf16 rounds them by 2^-9
};

void PrintTo(const Case& each, std::ostream* out) { *out << each.name; }

class NpuProductsTest : public testing::TestWithParam<Case> {
 protected:
  void SetUp() override {
    auto npu = open_npu_device(machine_.options(kLeastNpuTokens), 2);
    ASSERT_TRUE(npu) << to_string(npu.error());
    npu_ = std::move(*npu);
    machine_.controls().runs = 0;
  }

  template <class Record>
  void expect_equal(const Record& record, double tolerance) {
    const auto reference = open_reference_device(2);
    const auto expected = compile(*reference, record(*reference));
    const auto computed = compile(*npu_, record(*npu_));
    for (const uint32_t tokens : {64U, 65U, 130U, 600U}) {
      const int runs = machine_.controls().runs;
      const PlainStep step(first_ids(tokens));
      EXPECT_LT(worst_error(cpu::run(*computed, step.input()), cpu::run(*expected, step.input())), tolerance)
          << tokens << " tokens";
      EXPECT_GT(machine_.controls().runs, runs) << tokens << " tokens";
    }
  }

  MadeNpuMachine machine_{HEARTH_FAKE_XRT, {GetParam().kernel}};
  std::unique_ptr<Device> npu_;
};

TEST_P(NpuProductsTest, FewTokensAreTheProcessorsToTheBit) {
  const auto record = [](Device& device) { return record_feed_forward(device, 64, 96, NumberFormat::q8_0, true); };
  const auto processor = open_cpu_device(2).value();
  const auto expected = compile(*processor, record(*processor));
  const auto computed = compile(*npu_, record(*npu_));
  for (const uint32_t tokens : {1U, 2U, 17U, kLeastNpuTokens - 1}) {
    const PlainStep step(first_ids(tokens));
    EXPECT_EQ(cpu::run(*computed, step.input()), cpu::run(*expected, step.input())) << tokens << " tokens";
  }
  EXPECT_EQ(machine_.controls().runs, 0);
}

TEST_P(NpuProductsTest, LinearOfPlainWeightsIsTheReferences) {
  for (const Shape& shape :
       {Shape{{{NumberFormat::bf16, 50}}, 96}, Shape{{{NumberFormat::bf16, 16}, {NumberFormat::bf16, 67}}, 200, true},
        Shape{{{NumberFormat::bf16, 3}}, 5}}) {
    expect_equal([&](Device& device) { return record_linear(device, shape); }, GetParam().plain_tolerance);
  }
}

TEST_P(NpuProductsTest, LinearOfQuantizedWeightsIsTheReferences) {
  const Shape shape{{{NumberFormat::q8_0, 32}, {NumberFormat::q4_0, 33}}, 160, true};
  expect_equal([&](Device& device) { return record_linear(device, shape); }, GetParam().rounded_tolerance);
}

TEST_P(NpuProductsTest, GateUpIsTheReferences) {
  for (const bool bias : {false, true}) {
    expect_equal([&](Device& device) { return record_feed_forward(device, 96, 75, NumberFormat::bf16, bias); },
                 GetParam().rounded_tolerance);
    expect_equal([&](Device& device) { return record_feed_forward(device, 64, 96, NumberFormat::q8_0, bias); },
                 GetParam().rounded_tolerance);
  }
}

INSTANTIATE_TEST_SUITE_P(Kernels, NpuProductsTest,
                         testing::Values(Case{"square", {}, 1e-5, 3e-2},
                                         Case{"rows", {16, 48, 80, "f32", "row-major"}, 1e-5, 3e-2},
                                         Case{"rounded", {128, 256, 32, "bf16", "column-major"}, 2e-2, 5e-2}),
                         [](const auto& each) { return each.param.name; });

TEST(NpuMemoryTest, CopiesAreCountedAndGoAsFarAsTheMemory) {
  MadeNpuMachine machine(HEARTH_FAKE_XRT);
  NpuOptions options = machine.options(1);
  options.memory_bytes = 2 * 64 * 64 * sizeof(uint16_t);  // two blocks
  const auto device = open_npu_device(options, 2).value();
  const auto one = record_linear(*device, {{{NumberFormat::bf16, 50}}, 96});   // a row of two blocks
  const auto more = record_linear(*device, {{{NumberFormat::bf16, 16}}, 32});  // one more
  const auto first = compile(*device, one), second = compile(*device, more);
  const auto weights = [&] { return first->memory_use()[0].use.of(MemoryOwner::weights); };
  const uint64_t before = weights();
  const PlainStep step(first_ids(64));

  ASSERT_TRUE(first->run(step.input()));
  const int runs = machine.controls().runs;
  EXPECT_GE(weights(), before + *options.memory_bytes);
  ASSERT_TRUE(second->run(step.input()));
  EXPECT_EQ(machine.controls().runs, runs) << "a product whose weights found no room";
}

TEST(NpuMemoryTest, WhatXrtRefusesStaysWithTheProcessor) {
  MadeNpuMachine machine(HEARTH_FAKE_XRT);
  const auto device = open_npu_device(machine.options(1), 2).value();
  const auto first = compile(*device, record_linear(*device, {{{NumberFormat::bf16, 50}}, 96}));
  const auto second = compile(*device, record_linear(*device, {{{NumberFormat::bf16, 16}}, 32}));
  const PlainStep step(first_ids(64));
  const auto runs_of = [&](Program& program) {
    const int before = machine.controls().runs;
    EXPECT_TRUE(program.run(step.input()));
    return machine.controls().runs - before;
  };
  EXPECT_EQ(runs_of(*first), 2);
  machine.controls().fault = FakeXrtControls::Fault::allocation_throws;
  EXPECT_EQ(runs_of(*second), 0);
  machine.controls().fault = FakeXrtControls::Fault::none;
  EXPECT_EQ(runs_of(*second), 0) << "what was refused once is not asked for again";
  EXPECT_EQ(runs_of(*first), 2) << "what is there stays";
}

TEST(NpuMemoryTest, WhatItMayTakeIsNotFree) {
  MadeNpuMachine machine(HEARTH_FAKE_XRT);
  NpuOptions options = machine.options();
  options.memory_bytes = uint64_t{1} << 60;
  EXPECT_EQ(open_npu_device(options, 1).value()->memories().at(0).free_bytes, 0U);
}

TEST(NpuMemoryTest, AProgramTakesWhatWasPlanned) {
  MadeNpuMachine machine(HEARTH_FAKE_XRT);
  const auto device = open_npu_device(machine.options(), 2).value();
  const Recording recording = record_feed_forward(*device, 64, 96, NumberFormat::q8_0, true);
  const auto part = [](NumberFormat format, uint32_t rows) { return MatrixPart{"weights", format, rows}; };
  const std::vector<MatrixSpec> specs = {
      {.parts = {part(NumberFormat::f32, kTableRows)}, .cols = 64},
      {.role = MatrixRole::gate_up, .parts = {part(NumberFormat::q8_0, 96), part(NumberFormat::q8_0, 96)}, .cols = 64},
      {.parts = {part(NumberFormat::q8_0, 64)}, .cols = 96}};
  const auto program = compile(*device, recording);
  EXPECT_EQ(device->program_bytes(recording, specs, kLimits),
            program->memory_use()[0].use.of(MemoryOwner::activations));
}

TEST(NpuMemoryTest, WhatGoesInAndComesOutIsCounted) {
  MadeNpuMachine machine(HEARTH_FAKE_XRT);
  const auto device = open_npu_device(machine.options(1), 2).value();
  const auto program = compile(*device, record_linear(*device, {{{NumberFormat::bf16, 50}}, 96}));
  const auto staging = [&] { return program->memory_use()[0].use.of(MemoryOwner::staging); };
  EXPECT_EQ(staging(), 0U);
  for (int step = 0; step < 2; ++step) {
    ASSERT_TRUE(program->run(PlainStep(first_ids(70)).input()));
    EXPECT_EQ(staging(), 2 * 64 * 64 * sizeof(uint16_t) + 3 * 64 * 64 * sizeof(float))
        << "of A and C two, and the sums";
  }
}

TEST(NpuMemoryTest, EverythingIsFreedInTheEnd) {
  MadeNpuMachine machine(HEARTH_FAKE_XRT);
  const int64_t objects = machine.controls().objects, bytes = machine.controls().buffer_bytes;
  {
    const auto device = open_npu_device(machine.options(1), 2).value();
    const auto program = compile(*device, record_linear(*device, {{{NumberFormat::bf16, 50}}, 96}));
    ASSERT_TRUE(program->run(PlainStep(first_ids(70)).input()));
    EXPECT_GT(machine.controls().buffer_bytes, bytes);
  }
  EXPECT_LE(machine.controls().buffer_bytes, bytes);
  EXPECT_LE(machine.controls().objects, objects);
}

}  // namespace
}  // namespace hearth
