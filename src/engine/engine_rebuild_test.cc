// A device that is lost: what happens to requests, and how the engine goes on.

#include <gtest/gtest.h>

#include <functional>
#include <future>

#include "engine/testing/engine_fixture.h"

namespace hearth {
namespace {

FakeEngine::Setup rebuilding(int times) {
  FakeEngine::Setup setup;
  setup.rebuilds = times;
  return setup;
}

void expect_lost(const Answer& answer) {
  EXPECT_EQ(answer.finish_reason, FinishReason::failed);
  ASSERT_TRUE(answer.error);
  EXPECT_EQ(answer.error->code, ErrorCode::device_lost);
}

TEST(EngineRebuild, RequestsOnTheirWayAreComputedAgain) {
  FakeEngine fake(rebuilding(1));
  std::atomic<int> runs = 0;
  fake.program->before_run = [&](const StepInput&) {
    if (++runs == 4) fake.program->fail_next_runs = 1;
  };
  Request request = greedy(some_tokens(20, 1), 8);
  request.logprobs = 2;
  request.prompt_logprobs = true;
  const auto answer = fake.submit(request);
  fake.wait_until_idle();
  EXPECT_GT(answer->events, 4) << "it goes on where it was";
  fake.expect_as_alone(request, *answer);
}

TEST(EngineRebuild, ARequestThatLosesASecondDeviceFailsAndOthersDoNot) {
  FakeEngine::Setup setup = rebuilding(2);
  setup.options.max_sequences = 1;
  FakeEngine fake(setup);
  fake.lost_rebuilds = 1;
  fake.program->fail_next_runs = 1;
  const auto first = fake.submit(greedy(some_tokens(20, 1), 50));
  const Request request = greedy(some_tokens(20, 2), 50);
  const auto second = fake.submit(request);
  fake.wait_until_idle();
  expect_lost(*first);
  fake.expect_as_alone(request, *second);
}

TEST(EngineRebuild, NothingOfTheOldCacheIsUsed) {
  FakeEngine fake(rebuilding(1));
  const Request request = greedy(some_tokens(64, 3), 4);
  fake.submit(request);
  fake.wait_until_idle();
  fake.program->fail_next_runs = 1;
  fake.submit(greedy(some_tokens(5, 4), 4));
  fake.wait_until_idle();
  // The prefix was known before; a block of the old device would hold nothing here, and give other tokens.
  const auto again = fake.submit(request);
  fake.wait_until_idle();
  fake.expect_as_alone(request, *again);
  EXPECT_EQ(again->usage.cached_tokens, 0U);
}

TEST(EngineRebuild, WhenItCannotBeMadeAnewAllFurtherRequestsFail) {
  FakeEngine fake(rebuilding(0));
  fake.program->fail_next_runs = 1;
  for (uint64_t seed = 1; seed < 3; ++seed) {
    const auto answer = fake.submit(greedy(some_tokens(20, seed), 8));
    fake.wait_until_idle();
    EXPECT_EQ(answer->finish_reason, FinishReason::failed);
    ASSERT_TRUE(answer->error);
    EXPECT_EQ(answer->error->message, "the fake device is gone");
  }
}

TEST(EngineRebuild, ItMayBeLostAgainAndAgain) {
  FakeEngine fake(rebuilding(3));
  for (int i = 0; i < 3; ++i) {
    fake.program->fail_next_runs = 1;
    const Request request = greedy(some_tokens(30, 20 + i), 8);
    const auto answer = fake.submit(request);
    fake.wait_until_idle();
    fake.expect_as_alone(request, *answer);
  }
}

/// Three requests that run, two that wait, and a device that is lost in the middle, while a step is in flight and one
/// was or is submitted ahead of its results.
void lose_with_steps_in_flight(const std::function<void(FakeProgram&)>& lose, uint64_t at_step) {
  FakeEngine::Setup setup = rebuilding(1);
  setup.ahead = true;
  setup.options.max_sequences = 3;
  FakeEngine fake(setup);
  std::promise<void> all_submitted;
  fake.program->before_run = [&, submitted = all_submitted.get_future().share()](const StepInput&) {
    submitted.wait();
    if (fake.program->steps == at_step) lose(*fake.program);
  };
  std::vector<std::shared_ptr<Answer>> answers;
  for (uint64_t i = 0; i < 5; ++i) answers.push_back(fake.submit(greedy(some_tokens(20 + i, i), 60)));
  all_submitted.set_value();
  fake.wait_until_idle();  // also: every block is free

  for (size_t i = 0; i < answers.size(); ++i) fake.expect_as_alone(greedy(some_tokens(20 + i, i), 60), *answers[i]);
  const Request later = greedy(some_tokens(30, 9), 30);
  const auto answer = fake.submit(later);
  fake.wait_until_idle();
  fake.expect_as_alone(later, *answer);
  EXPECT_GT(fake.program->steps_ahead, 0U) << "the new program runs ahead as well";
  const EngineMetrics metrics = fake.engine->metrics();
  EXPECT_EQ(metrics.requests_running + metrics.requests_waiting, 0U);
  EXPECT_EQ(metrics.kv_blocks_used, 0U);
  EXPECT_EQ(metrics.finished[static_cast<size_t>(FinishReason::length)], 6U);
}

TEST(EngineRebuild, LostWhileAStepIsInFlightAndOneIsAhead) {
  for (const uint64_t at_step : {5U, 6U, 30U}) {
    lose_with_steps_in_flight([](FakeProgram& program) { program.fail_next_runs = 2; }, at_step);
  }
}

TEST(EngineRebuild, LostWhenAStepIsSubmittedAhead) {
  for (const uint64_t at_step : {5U, 6U, 30U}) {
    lose_with_steps_in_flight([](FakeProgram& program) { program.fail_next_submits_ahead = 1; }, at_step);
  }
}

}  // namespace
}  // namespace hearth
