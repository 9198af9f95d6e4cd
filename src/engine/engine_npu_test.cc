// An engine on a device with an NPU, a fake XRT's: it finds out in idle time what to hand over, and prompts are.

#include <gtest/gtest.h>

#include <thread>

#include "device/testing/made_npu_machine.h"
#include "engine/testing/served_golden.h"

namespace hearth {
namespace {

class EngineNpuTest : public testing::Test {
 protected:
  NpuOptions fast() const {
    NpuOptions options = machine_.options();
    options.meter = {.seconds = machine_.counter(1, 0.1), .joules = {}, .joules_seconds = 0};
    return options;
  }

  /// Until no kernel has run for a while.
  void wait_until_tuned() const {
    int seen = -1;
    for (int calm = 0; calm < 10; std::this_thread::sleep_for(std::chrono::milliseconds(50))) {
      const int now = machine_.controls().runs;
      calm = now == std::exchange(seen, now) && now > at_start_ ? calm + 1 : 0;
    }
  }

  /// Kernel runs until the answer of 8 tokens is there.
  int runs_of(Served& served, size_t prompt_tokens) {
    const int before = machine_.controls().runs;
    const Outcome outcome = served.submit(request(prompt_tokens, 1, 8)).get();
    EXPECT_FALSE(outcome.error) << to_string(*outcome.error);
    EXPECT_EQ(outcome.tokens.size(), 8U);
    return machine_.controls().runs - before;
  }

  MadeNpuMachine machine_{HEARTH_FAKE_XRT};
  int at_start_ = 0;
};

TEST_F(EngineNpuTest, PromptsAreHandedOverOnceThatIsKnownToBeFaster) {
  auto device = open_npu_device(fast(), 2);
  ASSERT_TRUE(device) << to_string(device.error());
  at_start_ = machine_.controls().runs;
  Served served(kGoldens / "llama", std::move(*device), {}, {.max_sequences = 4});
  wait_until_tuned();
  EXPECT_EQ(runs_of(served, 20), 0) << "few tokens";
  EXPECT_GT(runs_of(served, 90), 0);
}

TEST_F(EngineNpuTest, AnNpuThatFailsInAPromptCostsNoRequestAndNoBit) {
  auto device = open_npu_device(fast(), 2);
  ASSERT_TRUE(device) << to_string(device.error());
  Served with(kGoldens / "llama", std::move(*device), {}, {.max_sequences = 4, .tune_first = true});
  Served without("llama", "cpu", {.max_sequences = 4});
  machine_.controls().fault = FakeXrtControls::Fault::run_fails;
  const int before = machine_.controls().runs;
  expect_equal_bits(with.submit(request(90, 1, 8)).get(), without.submit(request(90, 1, 8)).get());
  EXPECT_EQ(machine_.controls().runs, before + 1) << "the one that failed";
}

}  // namespace
}  // namespace hearth
