// Once a program is prepared, tokens are made without allocations, new pipelines or, when decoding, new recordings.

#include <gtest/gtest.h>

#include "device/vulkan/testing/fault_injection.h"
#include "device/vulkan/testing/test_model.h"
#include "device/vulkan/vulkan_device.h"

namespace hearth::vulkan {
namespace {

/// More than 16384 entries of block tables, for which there is always room.
constexpr uint32_t kBlocks = 20000;
constexpr uint32_t kSequences = 3;

class AllocationTest : public testing::Test {
 protected:
  void SetUp() override {
    faults.reset();
    auto opened =
        open_vulkan_device({.validation = std::getenv("HEARTH_VULKAN_VALIDATION") != nullptr, .wrap = inject_faults});
    if (!opened && may_be_missing(opened.error())) GTEST_SKIP() << to_string(opened.error());
    ASSERT_TRUE(opened) << to_string(opened.error());
    device_ = std::move(*opened);
    TestModel model(1);
    const TensorId in = model.input(32);
    const TensorId out = model.tensor(Rows::tokens, 32), selected = model.tensor(Rows::logits, 32);
    auto& operations = model.recording.operations;
    operations.push_back(Linear{.in = in, .weight = model.matrix({{NumberFormat::f32, 32}}, 32), .out = out});
    operations.push_back(SelectRows{.in = out, .out = selected});
    model.recording.logits = model.tensor(Rows::logits, 48);
    operations.push_back(
        Logits{.in = selected, .head = model.matrix({{NumberFormat::f32, 48}}, 32), .out = model.recording.logits});
    model.cache = {.layers = {{.group = 0, .kind = KeysAndValues{1, 8}}}, .blocks_per_group = {kBlocks}};
    auto program =
        model.compile(*device_, {.tokens = 20, .logit_rows = kSequences, .sequences = kSequences}, {.prepare = true});
    ASSERT_TRUE(program) << to_string(program.error());
    program_ = std::move(*program);
  }

  /// A step of counts[s] tokens for each sequence, with the best candidate of each sequence's last.
  void run(const std::vector<uint32_t>& counts) {
    auto step = steps_.next(counts, 64);
    std::vector<uint32_t> rows;
    for (const SequenceInput& sequence : step.sequences)
      rows.push_back(sequence.first_token + sequence.token_count - 1);
    const std::vector<uint32_t> greedy(rows.size(), 1);
    step.logit_rows = rows;
    StepInput input = step.input();
    input.candidates = greedy;
    const auto output = program_->run(input);
    ASSERT_TRUE(output) << to_string(output.error());
    EXPECT_EQ(output->candidates.size(), rows.size());
  }

  std::unique_ptr<VulkanDevice> device_;
  std::unique_ptr<Program> program_;
  TestSteps steps_{kSequences, 1, kBlocks / kSequences, 5};
};

TEST_F(AllocationTest, DecodingCallsNothingThatCouldRunOutOfMemory) {
  EXPECT_GT(faults.allocations, 10U) << "calls are counted";
  const uint64_t before = faults.allocations;
  for (int step = 0; step < 3; ++step) {  // both slots, and the first one again
    run({1});
    run({1, 1});
    run({1, 1, 1});
  }
  EXPECT_EQ(faults.allocations, before);
}

/// The first of several devices hands activations on and has no logits.
TEST_F(AllocationTest, DecodingWithoutLogitsCallsNothingEither) {
  TestModel model(2);
  const TensorId in = model.input(32), out = model.tensor(Rows::tokens, 32);
  model.recording.operations.push_back(
      Linear{.in = in, .weight = model.matrix({{NumberFormat::f32, 32}}, 32), .out = out});
  model.recording.has_logits = false;
  model.recording.outputs = {out};
  model.cache = {.layers = {{.group = 0, .kind = KeysAndValues{1, 8}}}, .blocks_per_group = {kBlocks}};
  auto device = open_vulkan_device({.wrap = inject_faults});
  ASSERT_TRUE(device) << to_string(device.error());
  auto program = model.compile(**device, {.tokens = 4, .logit_rows = 4, .sequences = 4}, {.prepare = true});
  ASSERT_TRUE(program) << to_string(program.error());
  const uint64_t before = faults.allocations;
  for (int i = 0; i < 2; ++i) {
    const auto step = steps_.next({1, 1}, 64);
    const auto output = (*program)->run(step.input());
    ASSERT_TRUE(output) << to_string(output.error());
  }
  EXPECT_EQ(faults.allocations, before);
}

TEST_F(AllocationTest, PromptsOnlyRecord) {
  const auto made = [] {
    return calls_of<&VolkDeviceTable::vkAllocateMemory> + calls_of<&VolkDeviceTable::vkCreateBuffer> +
           calls_of<&VolkDeviceTable::vkCreateComputePipelines> + calls_of<&VolkDeviceTable::vkCreateShaderModule>;
  };
  const uint64_t before = made();
  const uint64_t recordings = calls_of<&VolkDeviceTable::vkBeginCommandBuffer>;
  run({5});
  run({1, 15});
  run({18, 1, 1});
  EXPECT_EQ(made(), before);
  EXPECT_EQ(calls_of<&VolkDeviceTable::vkBeginCommandBuffer> - recordings, 3U);
}

}  // namespace
}  // namespace hearth::vulkan
