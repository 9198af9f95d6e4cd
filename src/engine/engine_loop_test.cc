#include "engine/engine_loop.h"

#include <gtest/gtest.h>

#include <future>
#include <limits>

#include "device/step.h"
#include "engine/testing/engine_fixture.h"

namespace hearth {
namespace {

TEST(EngineLoop, AnswersOneRequestAsTheModelDoes) {
  FakeEngine fake({});
  const Request request = greedy(some_tokens(40, 1), 30);
  const auto answer = fake.submit(request);
  fake.wait_until_idle();
  fake.expect_as_alone(request, *answer);
  EXPECT_EQ(answer->events, 30) << "each token as it comes";
}

TEST(EngineLoop, TheContextIsUsedToItsEnd) {
  FakeEngine fake({.context_length = 64});
  const Request request = greedy(some_tokens(40, 1), 0);
  const Request last = greedy(some_tokens(63, 2), 10);
  const auto answer = fake.submit(request);
  const auto last_answer = fake.submit(last);
  fake.wait_until_idle();
  EXPECT_EQ(answer->tokens.size(), 24U);
  EXPECT_EQ(answer->finish_reason, FinishReason::length);
  fake.expect_as_alone(request, *answer);
  EXPECT_EQ(last_answer->tokens.size(), 1U);
}

TEST(EngineLoop, EndTokensEndUnlessTheyAreIgnored) {
  const int32_t end = 17;
  FakeEngine fake({.end_tokens = {end}});
  Request request = greedy(some_tokens(20, 3), 400);
  request.sampling = {.temperature = 1.0F, .seed = 5};
  Request ignoring = request, longer = request, own_end = request;
  ignoring.ignore_end_tokens = true;
  longer.min_tokens = 250;
  own_end.ignore_end_tokens = true;
  own_end.stop_token_ids = {18, 19};

  std::vector<std::pair<Request, std::shared_ptr<Answer>>> all;
  for (const Request& each : {request, ignoring, longer, own_end}) all.emplace_back(each, fake.submit(each));
  fake.wait_until_idle();
  for (const auto& [each, answer] : all) fake.expect_as_alone(each, *answer);
  EXPECT_EQ(all[0].second->finish_reason, FinishReason::stop);
  EXPECT_EQ(all[0].second->tokens.back(), end);
  EXPECT_EQ(all[1].second->finish_reason, FinishReason::length);
  EXPECT_GE(all[2].second->tokens.size(), 250U);
  EXPECT_EQ(all[3].second->finish_reason, FinishReason::stop);
}

TEST(EngineLoop, LogprobsOfPromptAndAnswerAreTheModels) {
  FakeEngine fake({.groups = {{.window = 0}, {.window = 20}}, .blocks = {256, 256}});
  Request request = greedy(some_tokens(200, 4), 10);
  request.logprobs = 3;
  request.prompt_logprobs = true;
  Request only_chosen = greedy(some_tokens(30, 5), 10);
  only_chosen.logprobs = 0;
  fake.submit(greedy(request.prompt, 1));  // leaves a cached prefix that must not swallow the prompt's logprobs
  fake.wait_until_idle();
  const auto answer = fake.submit(request);
  const auto chosen_answer = fake.submit(only_chosen);
  fake.wait_until_idle();
  fake.expect_as_alone(request, *answer);
  fake.expect_as_alone(only_chosen, *chosen_answer);
  EXPECT_EQ(answer->prompt_logprobs.size(), 200U);
  EXPECT_EQ(answer->logprobs[0].top.size(), 3U);
}

TEST(EngineLoop, ACachedPrefixIsNotComputedAgain) {
  FakeEngine fake({});
  const std::vector<int32_t> prompt = some_tokens(100, 6);
  const Request request = greedy(prompt, 20);
  const auto first = fake.submit(request);
  fake.wait_until_idle();
  EXPECT_EQ(first->usage.cached_tokens, 0U);
  const uint64_t computed = fake.program->tokens_computed;
  const auto second = fake.submit(request);
  fake.wait_until_idle();
  EXPECT_EQ(second->usage.cached_tokens, 96U);
  EXPECT_EQ(fake.program->tokens_computed - computed, 4U + 19U);
  fake.expect_as_alone(request, *second);

  Request continued = greedy(prompt, 5);
  continued.prompt.insert(continued.prompt.end(), first->tokens.begin(), first->tokens.end());
  const auto third = fake.submit(continued);
  fake.wait_until_idle();
  EXPECT_EQ(third->usage.cached_tokens, 112U) << "answers are cached as well as prompts";
  fake.expect_as_alone(continued, *third);
}

TEST(EngineLoop, APromptThatIsCachedWholeStillGivesItsLogits) {
  FakeEngine fake({});
  const Request request = greedy(some_tokens(64, 7), 5);
  fake.submit(request);
  fake.wait_until_idle();
  const auto again = fake.submit(request);
  fake.wait_until_idle();
  EXPECT_EQ(again->usage.cached_tokens, 48U);
  fake.expect_as_alone(request, *again);
}

TEST(EngineLoop, PrefixesAreSharedOnlyBetweenEqualSaltsAndOnlyIfWanted) {
  Request request = greedy(some_tokens(64, 8), 5);
  {
    FakeEngine fake({});
    fake.submit(request);
    fake.wait_until_idle();
    request.cache_salt = "another tenant";
    const auto other = fake.submit(request);
    fake.wait_until_idle();
    EXPECT_EQ(other->usage.cached_tokens, 0U);
  }
  FakeEngine without({.options = {.prefix_cache = false}});
  without.submit(request);
  without.wait_until_idle();
  const auto second = without.submit(request);
  without.wait_until_idle();
  EXPECT_EQ(second->usage.cached_tokens, 0U);
}

TEST(EngineLoop, EqualPromptsAtOnceAreComputedOnce) {
  FakeEngine fake({});
  const Request request = greedy(some_tokens(160, 9), 4);
  std::promise<void> all_submitted;
  fake.program->before_run = [&, wait = all_submitted.get_future().share()](const StepInput&) { wait.wait(); };
  std::vector<std::shared_ptr<Answer>> answers(6);
  for (auto& answer : answers) answer = fake.submit(request);
  all_submitted.set_value();
  fake.wait_until_idle();
  for (const auto& answer : answers) fake.expect_as_alone(request, *answer);
  EXPECT_EQ(fake.program->tokens_computed, 160U + 5 * 16U + 6 * 3U) << "the prompt, its last block each, the answers";
}

constexpr EngineOptions kSmallSteps = {.max_batched_tokens = 128};

TEST(EngineLoop, FirstTokensComeAsPromptsFinish) {
  // A prompt and a token of each of the others.
  FakeEngine fake({.blocks = {1024}, .options = {.max_sequences = 9, .max_batched_tokens = 128 + 8}});
  std::promise<void> all_submitted;
  fake.program->before_run = [&, wait = all_submitted.get_future().share()](const StepInput&) { wait.wait(); };
  fake.submit(greedy(some_tokens(10, 100), 1));
  std::vector<std::shared_ptr<Answer>> answers(8);
  for (size_t i = 0; i < 8; ++i) answers[i] = fake.submit(greedy(some_tokens(128, i), 50));
  all_submitted.set_value();
  fake.wait_until_idle();
  for (size_t i = 0; i < answers.size(); ++i) {
    EXPECT_LE(answers[i]->first_step, 2 + i);
    EXPECT_GE(answers[i]->first_step, 1 + i);
  }
}

TEST(EngineLoop, DecodingGoesOnBesideALongPromptAndAShortPromptOvertakesIt) {
  FakeEngine fake({.blocks = {1024}, .context_length = 8192, .options = kSmallSteps});
  std::promise<void> all_submitted;
  fake.program->before_run = [&, wait = all_submitted.get_future().share()](const StepInput& input) {
    wait.wait();
    EXPECT_LE(input.token_ids.size(), 128U + input.sequences.size());
  };
  const auto decoding = fake.submit(greedy(some_tokens(10, 1), 60));
  const auto long_prompt = fake.submit(greedy(some_tokens(4000, 2), 5));
  const auto short_prompt = fake.submit(greedy(some_tokens(60, 3), 5));
  all_submitted.set_value();
  fake.wait_until_idle();
  EXPECT_LE(decoding->first_step, 2U);
  EXPECT_LE(short_prompt->first_step, 3U);
  EXPECT_GT(long_prompt->first_step, 30U);
  EXPECT_LE(long_prompt->first_step, 4000U / 128 + 5) << "and the long one is hardly slower for it";
}

TEST(EngineLoop, AsksTheProgramWhatItsStepsWillTake) {
  FakeEngine fake({.options = {.max_batched_tokens = 300}});
  ASSERT_FALSE(fake.program->expected_of.empty());
  EXPECT_EQ(fake.program->expected_of.front(), 1U);
  EXPECT_EQ(fake.program->expected_of.back(), 300U);
}

TEST(EngineLoop, PreemptionDoesNotChangeAnswers) {
  // Each of 12 requests needs up to 13 of 40 blocks.
  FakeEngine fake({.blocks = {40}, .context_length = 300, .options = {.max_sequences = 12}});
  std::vector<std::pair<Request, std::shared_ptr<Answer>>> all;
  for (uint64_t i = 0; i < 12; ++i) {
    Request request = greedy(some_tokens(20 + 3 * i, i), 150);
    if (i % 2 == 1) request.sampling = {.temperature = 1.0F, .top_k = 20, .repetition_penalty = 1.1F, .seed = i};
    if (i % 3 == 0) request.logprobs = 2;
    all.emplace_back(request, fake.submit(request));
  }
  fake.wait_until_idle();
  EXPECT_GT(fake.engine->metrics().preemptions, 3U);
  for (const auto& [request, answer] : all) fake.expect_as_alone(request, *answer);
}

TEST(EngineLoop, CancellingFreesEverythingAtAnyStage) {
  FakeEngine fake(
      {.blocks = {128}, .context_length = 1000, .options = {.max_sequences = 2, .max_batched_tokens = 128}});
  // Two run (one of them in the middle of its prompt), the third waits.
  std::vector<RequestHandle> handles(3);
  std::vector<std::shared_ptr<Answer>> answers;
  std::promise<void> all_submitted;
  fake.program->before_run = [&, wait = all_submitted.get_future().share()](const StepInput&) {
    wait.wait();
    if (fake.program->steps == 3) {
      for (const RequestHandle handle : handles) fake.engine->cancel(handle);
    }
  };
  answers.push_back(fake.submit(greedy(some_tokens(10, 1), 500), &handles[0]));
  answers.push_back(fake.submit(greedy(some_tokens(900, 2), 50), &handles[1]));
  answers.push_back(fake.submit(greedy(some_tokens(950, 3), 50), &handles[2]));
  all_submitted.set_value();
  fake.wait_until_idle();
  for (const auto& answer : answers) EXPECT_EQ(answer->finish_reason, FinishReason::cancelled);
  EXPECT_FALSE(answers[0]->tokens.empty());
  EXPECT_TRUE(answers[1]->tokens.empty());
  EXPECT_TRUE(answers[2]->tokens.empty());
  fake.engine->cancel(handles[0]);
  fake.engine->cancel(999);
  EXPECT_EQ(fake.engine->metrics().kv_blocks_used, 0U);
}

TEST(EngineLoop, ADeadlineEndsARequestWhereverItIs) {
  FakeEngine fake({.options = {.max_sequences = 1}});
  // On a busy machine a request may not have run at all when its deadline comes: then with a later one again.
  bool has_run = false;
  for (auto limit = std::chrono::milliseconds(20); !has_run; limit *= 2) {
    const auto deadline = std::chrono::steady_clock::now() + limit;
    Request running = greedy(some_tokens(10, 1), 400), waiting = greedy(some_tokens(10, 2), 400);
    running.deadline = waiting.deadline = deadline;
    fake.program->before_run = [deadline](const StepInput& step) {
      if (step.token_ids.size() == 1) std::this_thread::sleep_until(deadline);
    };
    const auto running_answer = fake.submit(running), waiting_answer = fake.submit(waiting);
    fake.wait_until_idle();
    for (const auto& answer : {running_answer, waiting_answer}) {
      EXPECT_EQ(answer->finish_reason, FinishReason::failed);
      ASSERT_TRUE(answer->error);
      EXPECT_EQ(answer->error->code, ErrorCode::timed_out);
    }
    EXPECT_TRUE(waiting_answer->tokens.empty());
    has_run = !running_answer->tokens.empty();
  }
}

TEST(EngineLoop, AFailingStepFailsItsRequestsAndTheEngineGoesOn) {
  FakeEngine fake({.options = {.max_sequences = 2}});
  const Request request = greedy(some_tokens(40, 1), 20);
  std::promise<void> all_submitted;
  fake.program->before_run = [&, wait = all_submitted.get_future().share()](const StepInput&) {
    wait.wait();
    if (fake.program->steps == 4) fake.program->fail_next_runs = 1;
  };
  const auto first = fake.submit(request), second = fake.submit(greedy(some_tokens(40, 2), 20));
  const auto waiting = fake.submit(request);
  all_submitted.set_value();
  fake.wait_until_idle();
  for (const auto& answer : {first, second}) {
    EXPECT_EQ(answer->finish_reason, FinishReason::failed);
    ASSERT_TRUE(answer->error);
    EXPECT_EQ(answer->error->code, ErrorCode::device_lost);
  }
  EXPECT_EQ(waiting->finish_reason, FinishReason::failed) << "steps stays 4 while runs fail";
  fake.program->before_run = nullptr;
  const auto later = fake.submit(request);
  fake.wait_until_idle();
  fake.expect_as_alone(request, *later);
}

TEST(EngineLoop, RefusesWhatCanNeverWork) {
  FakeEngine fake({.context_length = 64});
  auto refusal = [&](Request request) {
    const auto result = fake.engine->submit(std::move(request), [](const RequestEvent&) { FAIL(); });
    EXPECT_FALSE(result);
    return result ? Error{} : result.error();
  };
  EXPECT_EQ(refusal(greedy({}, 5)).code, ErrorCode::invalid_argument);
  const Error too_long = refusal(greedy(some_tokens(64, 1), 5));
  EXPECT_EQ(too_long.code, ErrorCode::invalid_argument);
  EXPECT_NE(too_long.message.find("64 tokens"), std::string::npos) << too_long.message;
  EXPECT_EQ(refusal(greedy({1, 97}, 5)).code, ErrorCode::invalid_argument);
  EXPECT_EQ(refusal(greedy({1, -1}, 5)).code, ErrorCode::invalid_argument);
  EXPECT_EQ(refusal({.prompt = {1}, .stop = {"x"}}).code, ErrorCode::invalid_argument);
  EXPECT_EQ(refusal({.prompt = {1}, .stop_token_ids = {1000}}).code, ErrorCode::invalid_argument);
  EXPECT_EQ(refusal({.prompt = {1}, .sampling = {.logit_bias = {{97, 1.0F}}}}).code, ErrorCode::invalid_argument);
  EXPECT_EQ(refusal({.prompt = {1}, .prompt_logprobs = true}).code, ErrorCode::invalid_argument);
}

TEST(EngineLoop, AFullQueueAndADrainingEngineRefuse) {
  FakeEngine fake({.options = {.max_sequences = 2, .max_waiting = 3}});
  std::promise<void> go_on;
  fake.program->before_run = [wait = go_on.get_future().share()](const StepInput&) { wait.wait(); };
  std::vector<std::shared_ptr<Answer>> answers(5);
  for (size_t i = 0; i < 5; ++i) answers[i] = fake.submit(greedy(some_tokens(10, i), 5));
  const auto refused = fake.engine->submit(greedy({1}, 5), [](const RequestEvent&) {});
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, ErrorCode::overloaded);

  EXPECT_FALSE(fake.engine->drain(std::chrono::milliseconds(20))) << "nothing can end yet";
  go_on.set_value();
  EXPECT_TRUE(fake.engine->drain(std::chrono::seconds(20)));
  for (const auto& answer : answers) EXPECT_EQ(answer->finish_reason, FinishReason::length);
  EXPECT_EQ(fake.engine->submit(greedy({1}, 5), [](const RequestEvent&) {}).error().code, ErrorCode::overloaded);
}

TEST(EngineLoop, LeavingCancelsWhatRunsAndWaits) {
  std::vector<std::shared_ptr<Answer>> answers;
  {
    FakeEngine fake({.options = {.max_sequences = 1}});
    fake.program->before_run = [](const StepInput&) { std::this_thread::sleep_for(std::chrono::milliseconds(1)); };
    for (uint64_t i = 0; i < 3; ++i) answers.push_back(fake.submit(greedy(some_tokens(10, i), 500)));
    fake.engine.reset();
  }
  for (const auto& answer : answers) EXPECT_EQ(answer->finish_reason, FinishReason::cancelled);
}

TEST(EngineLoop, CallbacksMayCallTheEngine) {
  FakeEngine fake({});
  std::promise<FinishReason> done;
  std::atomic<RequestHandle> handle = 0;
  const auto submitted = fake.engine->submit(greedy(some_tokens(10, 1), 400), [&](const RequestEvent& event) {
    if (event.finish_reason) return done.set_value(*event.finish_reason);
    EXPECT_EQ(fake.engine->metrics().requests_waiting, 0U);
    handle.wait(0);  // events may come before submit has returned
    fake.engine->cancel(handle);
  });
  handle = *submitted;
  handle.notify_all();
  EXPECT_EQ(done.get_future().get(), FinishReason::cancelled);
}

TEST(EngineLoop, MetricsCountWhatHappened) {
  FakeEngine fake({});
  Request request = greedy(some_tokens(64, 1), 10);
  fake.submit(request);
  request.user = {.id = "1", .name = "alice"};
  fake.wait_until_idle();
  fake.submit(request);
  fake.wait_until_idle();
  const EngineMetrics metrics = fake.engine->metrics();
  EXPECT_EQ(metrics.prompt_tokens, 128U);
  EXPECT_EQ(metrics.generation_tokens, 20U);
  ASSERT_EQ(metrics.users.size(), 1U) << "the other one has no name";
  EXPECT_EQ(metrics.users.at("alice").prompt_tokens, 64U);
  EXPECT_EQ(metrics.users.at("alice").generation_tokens, 10U);
  EXPECT_EQ(metrics.prefix_cache_queries, 128U);
  EXPECT_EQ(metrics.prefix_cache_hits, 48U);
  EXPECT_EQ(metrics.finished[static_cast<size_t>(FinishReason::length)], 2U);
  EXPECT_EQ(metrics.kv_blocks_total, 256U);
  EXPECT_EQ(metrics.kv_blocks_used, 0U);
  auto observations = [](const Histogram& histogram) {
    uint64_t count = 0;
    for (const uint64_t bucket : histogram.counts()) count += bucket;
    return count;
  };
  EXPECT_EQ(observations(metrics.time_to_first_token_seconds), 2U);
  EXPECT_EQ(observations(metrics.inter_token_latency_seconds), 18U);
  EXPECT_EQ(observations(metrics.request_queue_time_seconds), 2U);
  EXPECT_EQ(observations(metrics.e2e_request_latency_seconds), 2U);
}

}  // namespace
}  // namespace hearth
