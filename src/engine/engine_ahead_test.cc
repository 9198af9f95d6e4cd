// Steps that are submitted before the tokens of the step in flight are known.

#include <gtest/gtest.h>

#include <future>

#include "engine/testing/engine_fixture.h"

namespace hearth {
namespace {

/// Holds the fake device back until every request was submitted.
class AllAtOnce {
 public:
  explicit AllAtOnce(FakeEngine& fake) {
    fake.program->before_run = [wait = submitted_.get_future().share()](const StepInput&) { wait.wait(); };
  }
  void go() { submitted_.set_value(); }

 private:
  std::promise<void> submitted_;
};

TEST(EngineAhead, GreedyDecodingIsSubmittedAhead) {
  FakeEngine fake({.ahead = true});
  const Request request = greedy(some_tokens(40, 1), 30);
  const auto answer = fake.submit(request);
  fake.wait_until_idle();
  fake.expect_as_alone(request, *answer);
  EXPECT_EQ(answer->events, 30);
  EXPECT_EQ(fake.program->steps, 30U) << "none for a token that is not wanted";
  EXPECT_EQ(fake.program->steps_ahead, 29U);
}

TEST(EngineAhead, WhatNeedsTheHostIsNot) {
  FakeEngine fake({.end_tokens = {5}, .ahead = true});
  Request drawn = greedy(some_tokens(20, 1), 20), with_logprobs = drawn, with_minimum = drawn;
  drawn.sampling = {.temperature = 0.9F, .top_k = 10, .seed = 3};
  with_logprobs.logprobs = 2;
  with_minimum.min_tokens = 20;
  for (const Request& request : {drawn, with_logprobs, with_minimum}) {
    const auto answer = fake.submit(request);
    fake.wait_until_idle();
    fake.expect_as_alone(request, *answer);
  }
  EXPECT_EQ(fake.program->steps_ahead, 0U);
}

TEST(EngineAhead, RowsOfRequestsThatEndedAreDropped) {
  // End tokens and lengths at many different steps, several requests side by side.
  FakeEngine fake({.end_tokens = {3, 14, 15, 92, 65}, .ahead = true});
  AllAtOnce all(fake);
  std::vector<std::pair<Request, std::shared_ptr<Answer>>> answers;
  for (uint64_t i = 0; i < 24; ++i) {
    const Request request = greedy(some_tokens(10 + i, i), 5 + static_cast<uint32_t>(7 * i % 60));
    answers.emplace_back(request, fake.submit(request));
  }
  all.go();
  fake.wait_until_idle();
  int stopped = 0;
  for (const auto& [request, answer] : answers) {
    fake.expect_as_alone(request, *answer);
    stopped += answer->finish_reason == FinishReason::stop ? 1 : 0;
  }
  EXPECT_GT(stopped, 4);
  EXPECT_LT(stopped, 24);
  EXPECT_GT(fake.program->steps_ahead, 10U);
}

TEST(EngineAhead, ANewRequestIsAdmittedBesideStepsAhead) {
  FakeEngine fake({.ahead = true});
  const Request running = greedy(some_tokens(10, 1), 200), late = greedy(some_tokens(30, 2), 40);
  std::shared_ptr<Answer> late_answer;
  fake.program->before_run = [&](const StepInput&) {
    if (fake.program->steps == 50) late_answer = fake.submit(late);
  };
  const auto answer = fake.submit(running);
  fake.wait_until_idle();
  fake.expect_as_alone(running, *answer);
  fake.expect_as_alone(late, *late_answer);
  EXPECT_LE(late_answer->first_step, 54U) << "one step in flight, one behind it, then its own";
}

TEST(EngineAhead, CancellingAndFailingWithStepsInFlight) {
  FakeEngine fake({.ahead = true});
  const Request request = greedy(some_tokens(10, 1), 300);
  RequestHandle handle = 0;
  std::promise<void> submitted;
  fake.program->before_run = [&, wait = submitted.get_future().share()](const StepInput&) {
    wait.wait();
    if (fake.program->steps == 20) fake.engine->cancel(handle);
  };
  const auto cancelled = fake.submit(request, &handle);
  submitted.set_value();
  fake.wait_until_idle();
  EXPECT_EQ(cancelled->finish_reason, FinishReason::cancelled);
  EXPECT_GE(cancelled->tokens.size(), 20U);

  fake.program->before_run = [&](const StepInput&) {
    if (fake.program->steps == 40) fake.program->fail_next_runs = 1;
  };
  const auto failed = fake.submit(request);
  fake.wait_until_idle();
  EXPECT_EQ(failed->finish_reason, FinishReason::failed);
  ASSERT_TRUE(failed->error);
  EXPECT_EQ(failed->error->code, ErrorCode::device_lost);

  fake.program->before_run = nullptr;
  const auto later = fake.submit(request);
  fake.wait_until_idle();
  fake.expect_as_alone(request, *later);
}

TEST(EngineAhead, LeavingWithStepsInFlight) {
  std::shared_ptr<Answer> answer;
  {
    FakeEngine fake({.ahead = true});
    fake.program->before_run = [](const StepInput&) { std::this_thread::sleep_for(std::chrono::milliseconds(1)); };
    answer = fake.submit(greedy(some_tokens(10, 1), 500));
    while (fake.program->steps < 5) std::this_thread::yield();
    fake.engine.reset();
  }
  EXPECT_EQ(answer->finish_reason, FinishReason::cancelled);
}

}  // namespace
}  // namespace hearth
