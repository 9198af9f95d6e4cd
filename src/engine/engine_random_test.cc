#include <gtest/gtest.h>

#include <random>

#include "engine/testing/engine_fixture.h"

namespace hearth {
namespace {

/// Submits, cancels and failures at random between the steps of an engine with little memory. Whatever happens to the
/// others, what a request gives is a prefix of what it gives alone, and the whole of it unless it was cancelled or
/// failed.
void run_random_load(FakeEngine::Setup setup, uint32_t seed, int requests) {
  struct Sent {
    Request request;
    std::shared_ptr<Answer> answer;
    RequestHandle handle = 0;
  };
  std::mt19937 random(seed);
  FakeEngine fake(setup);
  std::vector<Sent> sent;

  auto random_request = [&] {
    // Few different prompts, cut at random, so that prefixes repeat.
    const size_t room = setup.context_length - 1;
    const size_t size = 1 + random() % (random() % 4 == 0 ? room : std::min<size_t>(room, 60));
    Request request = greedy(some_tokens(size, random() % 5, setup.vocabulary), 1 + random() % 60);
    if (random() % 2 == 0) {
      request.sampling = {.temperature = 0.8F, .top_p = 0.95F, .frequency_penalty = 0.2F, .seed = random() % 9};
    }
    if (random() % 4 == 0) request.logprobs = random() % 3;
    if (random() % 8 == 0) request.prompt_logprobs = request.logprobs.has_value();
    if (random() % 5 == 0) request.stop_token_ids = {static_cast<int32_t>(random() % setup.vocabulary)};
    if (random() % 5 == 0) request.min_tokens = random() % 20;
    if (random() % 6 == 0) request.cache_salt = "salt";
    return request;
  };
  auto submit = [&] {
    Sent& next = sent.emplace_back(Sent{.request = random_request()});
    next.answer = fake.submit(next.request, &next.handle);
  };
  std::mutex mutex;  // the engine may begin with the first request while it is still being noted in `sent`
  fake.program->before_run = [&](const StepInput&) {
    const std::lock_guard lock(mutex);
    while (static_cast<int>(sent.size()) < requests && random() % 3 == 0) submit();
    if (random() % 12 == 0) fake.engine->cancel(sent[random() % sent.size()].handle);
    if (random() % 150 == 0) fake.program->fail_next_runs = 1;
  };
  while (static_cast<int>(sent.size()) < requests) {
    {
      const std::lock_guard lock(mutex);
      submit();
    }
    fake.wait_until_idle();
    if (testing::Test::HasFailure()) return;
  }

  int whole = 0;
  for (const Sent& each : sent) {
    if (each.answer->finish_reason == FinishReason::cancelled || each.answer->error) {
      const Answer alone = fake.expected(each.request);
      ASSERT_LE(each.answer->tokens.size(), alone.tokens.size());
      ASSERT_TRUE(std::equal(each.answer->tokens.begin(), each.answer->tokens.end(), alone.tokens.begin()));
    } else {
      fake.expect_as_alone(each.request, *each.answer);
      ++whole;
    }
    ASSERT_TRUE(!each.answer->error || each.answer->error->code == ErrorCode::device_lost)
        << each.answer->error->message;
    if (testing::Test::HasFailure()) return;
  }
  EXPECT_GT(whole, requests / 3);
  EXPECT_GT(fake.engine->metrics().preemptions, 0U);
  EXPECT_GT(fake.engine->metrics().prefix_cache_hits, 0U);
  EXPECT_EQ(fake.program->steps_ahead > 0, setup.ahead);
}

TEST(EngineUnderRandomLoad, AnswersAsIfEachRequestWereAlone) {
  run_random_load({.blocks = {24}, .context_length = 300, .options = {.max_sequences = 8, .max_waiting = 10000}}, 1,
                  1500);
}

TEST(EngineUnderRandomLoad, WithStepsAhead) {
  run_random_load(
      {.blocks = {24}, .context_length = 300, .options = {.max_sequences = 3, .max_waiting = 10000}, .ahead = true}, 5,
      1500);
}

TEST(EngineUnderRandomLoad, WithWindowsAndStepsAhead) {
  run_random_load({.groups = {{.window = 0}, {.window = 1}, {.window = 64}},
                   .blocks = {25, 10, 16},
                   .context_length = 300,
                   .options = {.max_sequences = 3, .max_waiting = 10000, .max_batched_tokens = 32},
                   .ahead = true},
                  6, 1500);
}

TEST(EngineUnderRandomLoad, WithWindows) {
  // 300 tokens of context need 19 blocks of the first group, and 5 or 8 of the others for steps of 32 tokens.
  run_random_load({.groups = {{.window = 0}, {.window = 16}, {.window = 64}},
                   .blocks = {25, 10, 16},
                   .context_length = 300,
                   .options = {.max_sequences = 6, .max_waiting = 10000, .max_batched_tokens = 32}},
                  2, 1500);
}

TEST(EngineUnderRandomLoad, WithStates) {
  run_random_load({.groups = {{.window = 0}, {.keeps_states = true}},
                   .blocks = {25, 9},
                   .context_length = 300,
                   .options = {.max_sequences = 6, .max_waiting = 10000, .max_batched_tokens = 64}},
                  7, 1500);
}

TEST(EngineUnderRandomLoad, WithStatesWindowsAndStepsAhead) {
  run_random_load({.groups = {{.keeps_states = true}, {.window = 0}, {.window = 64}},
                   .blocks = {4, 25, 16},
                   .context_length = 300,
                   .options = {.max_sequences = 3, .max_waiting = 10000, .max_batched_tokens = 32},
                   .ahead = true},
                  8, 1500);
}

TEST(EngineUnderRandomLoad, WithDraftsAndWindows) {
  const std::vector<CacheGroup> groups = {{.window = 0}, {.window = 16}, {.window = 64}};
  run_random_load({.groups = groups,
                   .blocks = {25, 10, 16},
                   .context_length = 300,
                   .options = {.max_sequences = 6, .max_waiting = 10000, .max_batched_tokens = 32},
                   .draft = greedy_drafts(groups, 7, 4)},
                  10, 700);
}

TEST(EngineUnderRandomLoad, WithDraftsAndStates) {
  const std::vector<CacheGroup> groups = {{.window = 0}, {.keeps_states = true}};
  run_random_load({.groups = groups,
                   .blocks = {25, 9},
                   .context_length = 300,
                   .options = {.max_sequences = 6, .max_waiting = 10000, .max_batched_tokens = 64},
                   .draft = greedy_drafts(groups, 7, 4)},
                  11, 700);
}

TEST(EngineUnderRandomLoad, WithDraftsAndFewStates) {
  const std::vector<CacheGroup> groups = {{.window = 0}, {.keeps_states = true}};
  run_random_load({.groups = groups,
                   .blocks = {19, 3},
                   .context_length = 300,
                   .options = {.max_sequences = 4, .max_waiting = 10000, .max_batched_tokens = 64},
                   .draft = greedy_drafts(groups, 7, 4)},
                  12, 400);
}

TEST(EngineUnderRandomLoad, WithStatesForTwoOnly) {
  run_random_load({.groups = {{.window = 0}, {.keeps_states = true}},
                   .blocks = {19, 2},
                   .context_length = 300,
                   .options = {.max_sequences = 4, .max_waiting = 10000, .max_batched_tokens = 64}},
                  9, 700);
}

TEST(EngineUnderRandomLoad, WithWindowsOnly) {
  run_random_load({.groups = {{.window = 33}},
                   .blocks = {10},
                   .context_length = 300,
                   .options = {.max_sequences = 6, .max_waiting = 10000, .max_batched_tokens = 32}},
                  3, 1000);
}

TEST(EngineUnderRandomLoad, WithEnoughMemoryForOneOnly) {
  run_random_load({.blocks = {19},
                   .context_length = 300,
                   .options = {.max_sequences = 4, .max_waiting = 10000, .max_batched_tokens = 16}},
                  4, 700);
}

}  // namespace
}  // namespace hearth
