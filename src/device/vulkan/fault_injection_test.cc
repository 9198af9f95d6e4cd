// A device that runs out of memory at any call, or is lost: always an error, never a crash, a hang or a leak, and what
// was not reached by the fault still works.

#include "device/vulkan/testing/fault_injection.h"

#include <gtest/gtest.h>

#include "device/vulkan/testing/test_model.h"
#include "device/vulkan/vulkan_device.h"

namespace hearth::vulkan {
namespace {

constexpr uint32_t kTokens = 3;
constexpr double kHalfTolerance = 2e-3;

/// Whether weights are written to mapped memory or through staging buffers.
class FaultsTest : public testing::TestWithParam<bool> {
 protected:
  void SetUp() override {
    faults.reset();
    auto opened = open();
    if (!opened && may_be_missing(opened.error())) GTEST_SKIP() << to_string(opened.error());
    ASSERT_TRUE(opened) << to_string(opened.error());
    messages_ = (*opened)->validation_messages();
  }

  void TearDown() override {
    faults.reset();
    auto opened = open();
    if (opened) {
      EXPECT_EQ((*opened)->validation_messages(), messages_) << "something leaked, or was used wrongly";
    }
  }

  static Result<std::unique_ptr<VulkanDevice>> open() {
    return open_vulkan_device({.validation = std::getenv("HEARTH_VULKAN_VALIDATION") != nullptr,
                               .staging = GetParam(),
                               .wrap = inject_faults});
  }

  static TestModel model(uint32_t blocks = 1) {
    TestModel model(1);
    const TensorId in = model.input(64);
    const TensorId selected = model.tensor(Rows::logits, 64);
    model.recording.operations.push_back(SelectRows{.in = in, .out = selected});
    model.recording.logits = model.tensor(Rows::logits, 32);
    model.recording.operations.push_back(
        Logits{.in = selected, .head = model.matrix({{NumberFormat::q8_0, 32}}, 64), .out = model.recording.logits});
    model.cache = {.layers = {{.group = 0, .kind = KeysAndValues{1, 8}}}, .blocks_per_group = {blocks}};
    return model;
  }

  Result<std::unique_ptr<Program>> compile(Device& device) const {
    return model_.compile(device, {.tokens = kTokens, .logit_rows = kTokens, .sequences = 1});
  }

  /// The logits of one step.
  static Result<std::vector<float>> run(Program& program) {
    TestSteps steps(1, 1, 1, 3);
    const auto step = steps.next({kTokens}, 64);
    auto output = program.run(step.input());
    if (!output) return pass_on(output);
    return std::vector<float>(output->logits.begin(), output->logits.end());
  }

  Result<std::vector<float>> start_and_run() {
    auto device = open();
    if (!device) return pass_on(device);
    description_ = (*device)->info().description;
    auto program = compile(**device);
    if (!program) return pass_on(program);
    auto logits = run(**program);
    if (!logits) {
      // The fault was a single one: the same program can go on.
      faults.allocation.stop();
      const auto again = run(**program);
      EXPECT_TRUE(again) << to_string(again.error());
    }
    return logits;
  }

  /// Which lane holds which element of a matrix was learned: products are of halves then.
  static bool knows_elements(const VulkanDevice& device) {
    return device.info().description.contains("known elements");
  }

  const TestModel model_ = model();
  uint32_t messages_ = 0;
  std::string description_;  ///< of the last run's device
};

TEST_P(FaultsTest, OutOfMemoryAtAnyCallIsAnError) {
  const auto expected = start_and_run();
  ASSERT_TRUE(expected) << to_string(expected.error());
  const std::string description = description_;
  for (int call = 0;; ++call) {
    ASSERT_LT(call, 500) << "no end to allocations";
    faults.allocation.start(call);
    const auto logits = start_and_run();
    if (logits && faults.allocation.fired() && description_ != description) {
      EXPECT_LT(relative_error(*logits, *expected), kHalfTolerance) << "it does without what it could not learn";
    } else if (logits) {
      EXPECT_EQ(*logits, *expected);
      EXPECT_FALSE(faults.allocation.fired()) << "call " << call << " failed and nobody noticed";
      EXPECT_GT(call, 30) << "faults are injected";
      break;
    }
    if (!logits) {
      EXPECT_EQ(logits.error().code, ErrorCode::out_of_memory) << "call " << call << ": " << to_string(logits.error());
    }
  }
}

// A step is several submits, of which a later one fails: those before it are still running when the same step comes
// again.
TEST_P(FaultsTest, OutOfMemoryInTheMiddleOfAStepIsAnError) {
  TestModel model(1);
  const TensorId in = model.input(512);
  const TensorId mixed = model.tensor(Rows::tokens, 512);
  model.recording.operations.push_back(
      Linear{.in = in, .weight = model.matrix({{NumberFormat::f16, 512}}, 512), .bias = {}, .out = mixed});
  const TensorId selected = model.tensor(Rows::logits, 512);
  model.recording.operations.push_back(SelectRows{.in = mixed, .out = selected});
  model.recording.logits = model.tensor(Rows::logits, 1024);
  model.recording.operations.push_back(
      Logits{.in = selected, .head = model.matrix({{NumberFormat::f16, 1024}}, 512), .out = model.recording.logits});
  model.cache = model_.cache;
  auto device = open();
  ASSERT_TRUE(device) << to_string(device.error());
  ASSERT_TRUE((*device)->set_tuning("submit_mflop=1"));
  const auto program = model.compile(**device, {.tokens = kTokens, .logit_rows = kTokens, .sequences = 1}).value();
  const auto expected = run(*program);
  ASSERT_TRUE(expected) << to_string(expected.error());
  for (int call = 0;; ++call) {
    faults.submit_memory.start(call);
    const auto logits = run(*program);
    if (logits) {
      EXPECT_GE(call, 2) << "several submits";
      break;
    }
    EXPECT_EQ(logits.error().code, ErrorCode::out_of_memory) << to_string(logits.error());
    EXPECT_EQ(run(*program).value(), *expected) << "after submit " << call;
  }
}

// Others take the device's memory: what is there goes on, what comes is refused with numbers before the driver is
// asked.
TEST_P(FaultsTest, ABudgetThatShrinksEndsNothingThatRuns) {
  auto device = open();
  ASSERT_TRUE(device) << to_string(device.error());
  const auto program = compile(**device).value();
  const auto before = run(*program);
  ASSERT_TRUE(before) << to_string(before.error());
  faults.left_bytes = 0;
  EXPECT_EQ(run(*program).value(), *before);
  const auto refused = compile(**device);
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, ErrorCode::out_of_memory);
  EXPECT_NE(refused.error().message.find("where 0.0 MB are free"), std::string::npos) << to_string(refused.error());
  EXPECT_FALSE(refused.error().hint.empty());
  EXPECT_EQ(run(*program).value(), *before);
  faults.left_bytes = UINT64_MAX;
  const auto later = compile(**device);
  ASSERT_TRUE(later) << to_string(later.error());
  EXPECT_EQ(run(**later).value(), *before);
}

// A driver that lists matrices and then cannot compile a shader with them: the other paths do the work.
TEST_P(FaultsTest, MatricesThatFailAreNotUsed) {
  const TestModel model = FaultsTest::model(4);
  const ProgramLimits limits = {.tokens = 40, .logit_rows = 40, .sequences = 1};
  TestSteps steps(1, 1, 4, 3);
  const auto step = steps.next({40}, 64);
  std::vector<std::vector<float>> results;
  bool of_halves = false;
  for (const bool fail : {false, true}) {
    faults.matrices_fail = fail;
    auto device = open();
    ASSERT_TRUE(device) << to_string(device.error());
    if (!(*device)->info().description.contains("matrices")) GTEST_SKIP() << "it lists none";
    of_halves |= knows_elements(**device);
    const auto program = model.compile(**device, limits, {.prepare = true});
    ASSERT_TRUE(program) << to_string(program.error());
    const auto output = (*program)->run(step.input());
    ASSERT_TRUE(output) << to_string(output.error());
    results.emplace_back(output->logits.begin(), output->logits.end());
  }
  EXPECT_GT(faults.matrices_failed, 0U);
  EXPECT_LT(relative_error(results[1], results[0]), of_halves ? kHalfTolerance : 1e-5);
}

TEST_P(FaultsTest, ALostDeviceIsAnErrorAndAnotherCanBeOpened) {
  for (const bool at_submit : {true, false}) {
    faults.reset();
    auto device = open();
    ASSERT_TRUE(device) << to_string(device.error());
    auto program = compile(**device);
    ASSERT_TRUE(program) << to_string(program.error());
    const auto before = run(**program);
    ASSERT_TRUE(before) << to_string(before.error());
    (at_submit ? faults.submit : faults.wait).start(0);
    for (int i = 0; i < 2; ++i) {  // it stays lost
      const auto lost = run(**program);
      ASSERT_FALSE(lost);
      EXPECT_EQ(lost.error().code, ErrorCode::device_lost) << to_string(lost.error());
    }
    program->reset();
    device->reset();
    faults.reset();
    const auto after = start_and_run();
    ASSERT_TRUE(after) << to_string(after.error());
    EXPECT_EQ(*after, *before);
  }
}

TEST_P(FaultsTest, ADeviceLostWhileWeightsAreWrittenIsAnError) {
  if (!GetParam()) GTEST_SKIP() << "written by the host alone";
  for (int call = 0; call < 2; ++call) {
    faults.reset();
    auto device = open();
    ASSERT_TRUE(device) << to_string(device.error());
    faults.submit.start(call);
    const auto program = compile(**device);
    ASSERT_FALSE(program);
    EXPECT_EQ(program.error().code, ErrorCode::device_lost) << to_string(program.error());
  }
}

INSTANTIATE_TEST_SUITE_P(Uploads, FaultsTest, testing::Bool(),
                         [](const auto& test) { return test.param ? "staged" : "mapped"; });

}  // namespace
}  // namespace hearth::vulkan
