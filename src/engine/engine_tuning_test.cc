// Tuning in the time when an engine has nothing to do.

#include <gtest/gtest.h>

#include <atomic>
#include <thread>

#include "engine/testing/engine_fixture.h"

namespace hearth {
namespace {

using IsInterrupted = std::function<bool()>;

/// Waits until a tuning was called so often.
void wait_for(const std::atomic<int>& calls, int count) {
  for (int now = calls; now < count; now = calls) calls.wait(now);
}

/// Counts a call.
int note(std::atomic<int>& calls) {
  const int call = ++calls;
  calls.notify_all();
  return call;
}

/// As long as nobody interrupts it.
void work_until(const IsInterrupted& is_interrupted) {
  while (!is_interrupted()) std::this_thread::yield();
}

void expect_answer(FakeEngine& fake, uint64_t seed) {
  const Request request = greedy(some_tokens(20, seed), 30);
  const auto answer = fake.submit(request);
  fake.wait_until_idle();
  fake.expect_as_alone(request, *answer);
}

TEST(EngineTuning, GoesOnBetweenRequestsUntilNothingIsLeft) {
  constexpr int kPieces = 3;
  std::atomic<int> calls = 0;
  FakeEngine::Setup setup;
  setup.ahead = true;
  setup.tune = [&](const IsInterrupted& is_interrupted) -> Result<bool> {
    if (note(calls) > kPieces) return false;
    work_until(is_interrupted);
    return true;
  };
  FakeEngine fake(setup);
  std::atomic<int> calls_before = 0;
  fake.program->before_run = [&](const StepInput&) { EXPECT_EQ(calls, calls_before) << "while a request runs"; };
  for (int piece = 1; piece <= kPieces; ++piece) {
    wait_for(calls, piece);
    calls_before = piece;
    expect_answer(fake, static_cast<uint64_t>(piece));
  }
  wait_for(calls, kPieces + 1);
  calls_before = kPieces + 1;
  for (uint64_t later = 10; later < 13; ++later) expect_answer(fake, later);
  EXPECT_EQ(calls, kPieces + 1) << "it has said that nothing is left";
  EXPECT_EQ(fake.program->tuned_beside_steps, 0);
}

TEST(EngineTuning, ItsEndChangesWhatStepsAreExpectedToTake) {
  std::atomic<int> calls = 0;
  FakeEngine::Setup setup;
  setup.tune = [&](const IsInterrupted&) -> Result<bool> { return note(calls) < 3; };
  FakeEngine fake(setup);
  while (fake.program->expectations < 2) std::this_thread::yield();
  EXPECT_EQ(calls, 3);
}

TEST(EngineTuning, AnEngineThatEndsInterruptsIt) {
  std::atomic<int> calls = 0;
  FakeEngine::Setup setup;
  setup.tune = [&](const IsInterrupted& is_interrupted) -> Result<bool> {
    note(calls);
    work_until(is_interrupted);
    return true;
  };
  FakeEngine fake(setup);
  wait_for(calls, 1);
}

TEST(EngineTuning, ADeviceThatItLosesIsReplacedAndTunedAnew) {
  std::atomic<int> calls = 0;
  FakeEngine::Setup setup;
  setup.rebuilds = 1;
  setup.tune = [&](const IsInterrupted&) -> Result<bool> {
    if (note(calls) == 1) return fail(ErrorCode::device_lost, "the fake device was lost in tuning");
    return false;
  };
  FakeEngine fake(setup);
  wait_for(calls, 2);
  expect_answer(fake, 1);
  EXPECT_EQ(calls, 2);
}

TEST(EngineTuning, LosesNoThirdDevice) {
  std::atomic<int> calls = 0;
  FakeEngine::Setup setup;
  setup.rebuilds = 2;
  setup.tune = [&](const IsInterrupted&) -> Result<bool> {
    note(calls);
    return fail(ErrorCode::device_lost, "tuning takes devices away");
  };
  FakeEngine fake(setup);
  wait_for(calls, 2);
  for (uint64_t i = 0; i < 3; ++i) expect_answer(fake, i);
  EXPECT_EQ(calls, 2);
}

TEST(EngineTuning, AProgramThatReplacesOneLostInAStepIsTuned) {
  std::atomic<int> calls = 0;
  FakeEngine::Setup setup;
  setup.rebuilds = 1;
  setup.tune = [&](const IsInterrupted&) -> Result<bool> {
    note(calls);
    return false;
  };
  FakeEngine fake(setup);
  wait_for(calls, 1);
  fake.program->fail_next_runs = 1;
  expect_answer(fake, 1);
  wait_for(calls, 2);
}

TEST(EngineTuning, OtherErrorsEndIt) {
  std::atomic<int> calls = 0;
  FakeEngine::Setup setup;
  setup.tune = [&](const IsInterrupted&) -> Result<bool> {
    note(calls);
    return fail(ErrorCode::out_of_memory, "no memory to tune in");
  };
  FakeEngine fake(setup);
  wait_for(calls, 1);
  for (uint64_t i = 0; i < 3; ++i) expect_answer(fake, i);
  EXPECT_EQ(calls, 1);
}

}  // namespace
}  // namespace hearth
