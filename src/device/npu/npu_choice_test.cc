#include "device/npu/npu_choice.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "device/cpu/test_device.h"
#include "device/explained_program.h"
#include "device/testing/made_npu_machine.h"
#include "device/tune_to_end.h"

namespace hearth {
namespace {

using Fault = FakeXrtControls::Fault;

NpuComparison comparison(uint32_t tokens, double processor, double npu) {
  return {.product = "linear", .count = 1, .tokens = tokens, .processor_seconds = processor, .npu_seconds = npu};
}

TEST(NpuChoiceTest, TakesWhatWasFaster) {
  NpuChoice choice(NpuPreference::speed);
  choice.add(comparison(64, 1, 2));
  choice.add(comparison(128, 2, 1));
  choice.add(comparison(256, 4, 3));
  choice.add(comparison(512, 8, 9));
  const auto takes = [&](size_t tokens) { return choice.takes("linear", tokens); };
  EXPECT_FALSE(takes(63) || takes(64) || takes(100)) << "below and between, one was slower";
  EXPECT_TRUE(takes(128) && takes(200) && takes(256));
  EXPECT_FALSE(takes(300) || takes(512) || takes(4096));
  EXPECT_FALSE(choice.takes("gate_up", 128)) << "nobody compared it";
  EXPECT_TRUE(choice.takes_some("linear"));
  EXPECT_FALSE(choice.takes_some("gate_up"));
}

TEST(NpuChoiceTest, TheLargestCountStandsForAllBeyond) {
  NpuChoice choice(NpuPreference::speed);
  choice.add(comparison(64, 2, 1));
  EXPECT_TRUE(choice.takes("linear", 4096));
  EXPECT_FALSE(choice.takes("linear", 63));
}

TEST(NpuChoiceTest, PowerIsAnotherChoice) {
  NpuComparison slower_and_cheaper = comparison(64, 1, 2);
  EXPECT_FALSE(npu_is_better(slower_and_cheaper, NpuPreference::power)) << "nobody measured it";
  slower_and_cheaper.processor_joules = 5;
  slower_and_cheaper.npu_joules = 4;
  EXPECT_TRUE(npu_is_better(slower_and_cheaper, NpuPreference::power));
  EXPECT_FALSE(npu_is_better(slower_and_cheaper, NpuPreference::speed));
  slower_and_cheaper.npu_joules = 5;
  EXPECT_FALSE(npu_is_better(slower_and_cheaper, NpuPreference::power)) << "of equals the processor keeps it";
}

TEST(NpuChoiceTest, ComparesCountsThatAStepMayHave) {
  using testing::ElementsAre;
  EXPECT_THAT(npu_token_counts(63), ElementsAre());
  EXPECT_THAT(npu_token_counts(64), ElementsAre(64));
  EXPECT_THAT(npu_token_counts(100), ElementsAre(64, 100));
  EXPECT_THAT(npu_token_counts(512), ElementsAre(64, 128, 256, 512));
  EXPECT_THAT(npu_token_counts(8192), ElementsAre(64, 128, 256, 512));
}

/// A program on the processor and an NPU: two products alike, and another one. Clock and counter are made up.
class NpuTuningTest : public testing::Test {
 protected:
  static constexpr uint32_t kWidth = 160;

  void open(const NpuOptions& options) {
    program_.reset();
    device_ = open_npu_device(options, 2).value();
    program_ = cpu::compile(*device_, record(*device_));
  }

  /// Where time and energy pass by so much while the processor works, and the NPU.
  NpuOptions options(NpuPreference prefer, double processor_seconds, double npu_seconds, double processor_joules,
                     double npu_joules) {
    NpuOptions options = machine_.options();
    options.prefer = prefer;
    options.meter = {.seconds = machine_.counter(processor_seconds, npu_seconds), .joules = {}, .joules_seconds = 0};
    if (prefer == NpuPreference::power) options.meter->joules = machine_.counter(processor_joules, npu_joules);
    return options;
  }
  NpuOptions fast() { return options(NpuPreference::speed, 1, 0.1, 0, 0); }
  NpuOptions slow() { return options(NpuPreference::speed, 1, 2, 0, 0); }

  static Recording record(Device& device) {
    const auto matrix = [&](uint32_t rows, uint32_t seed) {
      return cpu::add_matrix(device, {{NumberFormat::q8_0, rows}}, kWidth, seed);
    };
    Recording r;
    r.tensors = {{"x", Rows::tokens, kWidth}, {"y", Rows::tokens, kWidth}, {"z", Rows::tokens, 32}};
    const auto table = cpu::add_table(device, cpu::random_values(size_t{100} * kWidth, 1), kWidth);
    r.operations.emplace_back(Embed{.table = table, .out = {0}});
    r.operations.emplace_back(Linear{.in = {0}, .weight = matrix(kWidth, 1), .out = {1}});
    r.operations.emplace_back(Linear{.in = {1}, .weight = matrix(kWidth, 2), .out = {0}});
    r.operations.emplace_back(Linear{.in = {0}, .weight = matrix(32, 3), .out = {2}});
    r.logits = {2};
    return r;
  }

  /// Kernel runs of a step.
  int runs_of(uint32_t tokens) {
    const int before = machine_.controls().runs;
    const cpu::PlainStep step(cpu::first_ids(tokens));
    EXPECT_TRUE(program_->run(step.input()));
    return machine_.controls().runs - before;
  }

  /// Who was better, for each product and count of tokens.
  std::vector<std::string> winners() {
    std::vector<std::string> winners;
    const auto choices = dynamic_cast<ExplainedProgram&>(*program_).choices().value();
    for (const OperationChoice& choice : choices) {
      EXPECT_EQ(choice.count, choice.operation == "linear 160 to 160 q8_0" ? 2U : 1U) << choice.operation;
      EXPECT_GT(choice.microseconds, 0);
      winners.push_back(choice.launches.at(0));
    }
    return winners;
  }

  MadeNpuMachine machine_{HEARTH_FAKE_XRT, {{64, 64, 64, "f32", "row-major"}}};
  std::unique_ptr<Device> device_;
  std::unique_ptr<Program> program_;
};

const std::vector<std::string> kAllCpu(8, "cpu");  // two kinds of products, four counts of tokens
const std::vector<std::string> kAllNpu(8, "npu");

TEST_F(NpuTuningTest, NothingIsTheNpusBeforeItWasMeasured) {
  open(fast());
  EXPECT_EQ(runs_of(100), 0);
}

TEST_F(NpuTuningTest, ASlowNpuTakesNothing) {
  open(slow());
  const uint64_t before = device_->weight_bytes();
  ASSERT_TRUE(tune_to_end(*program_));
  EXPECT_EQ(winners(), kAllCpu);
  EXPECT_EQ(runs_of(100), 0);
  EXPECT_EQ(device_->weight_bytes(), before) << "copies that nobody needs";
}

TEST_F(NpuTuningTest, AFastNpuTakesPrompts) {
  open(fast());
  const uint64_t before = device_->weight_bytes();
  ASSERT_TRUE(tune_to_end(*program_));
  EXPECT_EQ(winners(), kAllNpu);
  EXPECT_GE(device_->weight_bytes(), before + (2 * kWidth + 32) * kWidth * sizeof(uint16_t));
  EXPECT_EQ(runs_of(kLeastNpuTokens - 1), 0);
  EXPECT_EQ(runs_of(100), 2 * (9 + 9 + 3)) << "64 tokens at a time, blocks of 64 by 64, copies of all matrices";

  const auto processor = open_cpu_device(2).value();
  const auto expected = cpu::compile(*processor, record(*processor));
  const cpu::PlainStep step(cpu::first_ids(100));
  const auto computed = cpu::run(*program_, step.input());
  EXPECT_LT(cpu::worst_error(computed, cpu::run(*expected, step.input())), 6e-2) << "both round, each in its own way";
}

TEST_F(NpuTuningTest, TheSystemsClockDoes) {
  open(machine_.options());
  ASSERT_TRUE(tune_to_end(*program_));
  ASSERT_EQ(winners().size(), kAllCpu.size());
  const bool some = std::ranges::count(winners(), "npu") > 0;
  EXPECT_TRUE(some || runs_of(100) == 0);
}

TEST_F(NpuTuningTest, IsInterruptedAndGoesOnWhereItWas) {
  open(fast());
  int calls = 0;
  size_t known = 0;
  for (Result<bool> left = true; *left; ++calls) {
    int asked = 0;
    left = program_->tune([&] { return ++asked > 30; });  // enough for one comparison
    ASSERT_TRUE(left);
    ASSERT_LT(calls, 100);
    EXPECT_LE(asked, 31) << "it goes on after it was interrupted";
    EXPECT_GE(winners().size(), known);
    known = winners().size();
  }
  EXPECT_EQ(winners(), kAllNpu);
  EXPECT_GT(calls, 1);
}

TEST_F(NpuTuningTest, PowerDecidesWhereItIsPreferred) {
  open(options(NpuPreference::power, 1, 2, 1e9, 1));  // slow and cheap
  ASSERT_TRUE(tune_to_end(*program_));
  EXPECT_EQ(winners(), kAllNpu);
  EXPECT_GT(runs_of(100), 0);
  open(options(NpuPreference::power, 1, 0.1, 1, 1e9));
  ASSERT_TRUE(tune_to_end(*program_));
  EXPECT_EQ(winners(), kAllCpu);
  EXPECT_EQ(runs_of(100), 0);
}

TEST_F(NpuTuningTest, ACounterThatFailsEndsIt) {
  NpuOptions broken = options(NpuPreference::power, 1, 0.1, 1, 1);
  broken.meter->joules = []() -> Result<double> { return fail(ErrorCode::io, "the counter is gone"); };
  open(broken);
  ASSERT_TRUE(tune_to_end(*program_));
  EXPECT_EQ(runs_of(100), 0);
}

TEST_F(NpuTuningTest, AnNpuThatFailsMeanwhileTakesNothing) {
  open(fast());
  machine_.controls().fault = Fault::run_fails;
  ASSERT_TRUE(tune_to_end(*program_));
  machine_.controls().fault = Fault::none;
  EXPECT_EQ(runs_of(100), 0);
}

}  // namespace
}  // namespace hearth
