// Others take memory while an engine serves: the cache shrinks, and no answer changes for it.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>

#include "engine/testing/engine_fixture.h"

namespace hearth {
namespace {

using testing::HasSubstr;

constexpr uint64_t kMiB = 1 << 20;

/// 64 blocks of 16 tokens, of which the longest sequence takes 32. 8 MiB free are few.
FakeEngine::Setup watching(uint32_t least_context = 512) {
  FakeEngine::Setup setup;
  setup.groups = {{.window = 0, .bytes_per_block = kMiB}};
  setup.blocks = {64};
  setup.least_context = least_context;
  setup.options.max_sequences = 2;
  setup.watches_memory = true;
  setup.free_bytes = 64 * kMiB;
  return setup;
}

void wait_for_looks(FakeEngine& fake, int looks) {
  const int before = fake.looks;
  while (fake.looks < before + looks) std::this_thread::yield();
}

/// Does `what` when the program has made so many steps.
void at_step(FakeEngine& fake, uint64_t step, std::function<void()> what) {
  fake.program->before_run = [&fake, step, what = std::move(what)](const StepInput&) {
    if (fake.program->steps == step) what();
    std::this_thread::sleep_for(std::chrono::microseconds(300));  // so that looks fall between steps
  };
}

void expect_answers(FakeEngine& fake, const std::vector<std::shared_ptr<Answer>>& answers, uint32_t max_tokens) {
  for (size_t i = 0; i < answers.size(); ++i) {
    fake.expect_as_alone(greedy(some_tokens(20 + i, i), max_tokens), *answers[i]);
  }
}

std::vector<std::shared_ptr<Answer>> submit_some(FakeEngine& fake, size_t count, uint32_t max_tokens) {
  std::vector<std::shared_ptr<Answer>> answers;
  for (size_t i = 0; i < count; ++i) answers.push_back(fake.submit(greedy(some_tokens(20 + i, i), max_tokens)));
  return answers;
}

TEST(EngineMemory, WhenOthersTakeMemoryTheCacheShrinksAndAnswersStayTheSame) {
  for (const bool ahead : {false, true}) {
    FakeEngine::Setup setup = watching();
    setup.ahead = ahead;
    FakeEngine fake(setup);
    at_step(fake, 5, [&] { fake.overused_bytes = 20 * kMiB; });
    const auto answers = submit_some(fake, 6, 60);
    while (fake.engine->metrics().cache_resizes == 0) std::this_thread::yield();
    fake.overused_bytes = 0;
    fake.wait_until_idle();
    expect_answers(fake, answers, 60);
    EXPECT_LE(fake.engine->metrics().kv_blocks_total, 44U);
    EXPECT_GE(fake.engine->metrics().kv_blocks_total, 32U) << "one whole context";
    EXPECT_EQ(fake.engine->context_length(), 512U);
  }
}

TEST(EngineMemory, AnIdleEngineSeesItToo) {
  FakeEngine fake(watching());
  fake.overused_bytes = 20 * kMiB;
  while (fake.engine->metrics().cache_resizes == 0) std::this_thread::yield();
  fake.overused_bytes = 0;
  EXPECT_LE(fake.engine->metrics().kv_blocks_total, 44U);
  expect_answers(fake, submit_some(fake, 0, 0), 0);
}

TEST(EngineMemory, AContextThatWasAskedForIsKeptWhateverOthersTake) {
  FakeEngine fake(watching());
  fake.overused_bytes = 1000 * kMiB;
  wait_for_looks(fake, 20);
  EXPECT_EQ(fake.engine->metrics().cache_resizes, 1U) << "then it is as small as it can be";
  EXPECT_EQ(fake.engine->metrics().kv_blocks_total, 32U);
  EXPECT_EQ(fake.engine->context_length(), 512U);
  const Request request = greedy(some_tokens(200, 1), 300);
  const auto answer = fake.submit(request);
  fake.wait_until_idle();
  fake.expect_as_alone(request, *answer);
}

TEST(EngineMemory, AContextThatNobodyAskedForBecomesShorterAndItsRequestsAreToldSo) {
  FakeEngine fake(watching(128));
  std::atomic<bool> taken = false;
  at_step(fake, 5, [&] {
    if (!taken.exchange(true)) fake.overused_bytes = 1000 * kMiB;
  });
  const auto too_long = fake.submit(greedy(some_tokens(300, 1), 100));
  const auto cut = fake.submit(greedy(some_tokens(100, 2), 400));
  const Request request = greedy(some_tokens(60, 3), 60);
  const auto whole = fake.submit(request);
  fake.wait_until_idle();
  EXPECT_EQ(fake.engine->context_length(), 128U);

  EXPECT_EQ(too_long->finish_reason, FinishReason::failed);
  ASSERT_TRUE(too_long->error);
  EXPECT_EQ(too_long->error->code, ErrorCode::out_of_memory);
  EXPECT_THAT(too_long->error->message, HasSubstr("the context holds 128 tokens now"));
  EXPECT_EQ(cut->finish_reason, FinishReason::length);
  EXPECT_EQ(cut->tokens.size(), 28U);
  fake.expect_as_alone(request, *whole);

  const auto refused = fake.engine->submit(greedy(some_tokens(128, 4), 4), [](const RequestEvent&) {});
  ASSERT_FALSE(refused);
  EXPECT_THAT(refused.error().message, HasSubstr("the context holds 128"));
}

TEST(EngineMemory, ItGrowsAgainWhenThereIsRoomAndNothingToDo) {
  FakeEngine fake(watching(128));
  fake.overused_bytes = 1000 * kMiB;
  while (fake.engine->metrics().cache_resizes == 0) std::this_thread::yield();
  EXPECT_EQ(fake.engine->metrics().kv_blocks_total, 8U);
  fake.overused_bytes = 0;
  fake.free_bytes = 100 * kMiB;
  while (fake.engine->metrics().cache_resizes < 2) std::this_thread::yield();
  EXPECT_EQ(fake.engine->metrics().kv_blocks_total, 64U);
  EXPECT_EQ(fake.engine->context_length(), 512U);
  const auto answers = submit_some(fake, 6, 60);
  fake.wait_until_idle();
  expect_answers(fake, answers, 60);
}

TEST(EngineMemory, AStepWithoutMemoryIsComputedAgainInASmallerCache) {
  for (const bool ahead : {false, true}) {
    FakeEngine::Setup setup = watching();
    setup.ahead = ahead;
    FakeEngine fake(setup);
    fake.program->failure = ErrorCode::out_of_memory;
    at_step(fake, 5, [&] { fake.program->fail_next_runs = 1; });
    const auto answers = submit_some(fake, 6, 60);
    fake.wait_until_idle();
    expect_answers(fake, answers, 60);
    EXPECT_EQ(fake.engine->metrics().cache_resizes, 1U);
    EXPECT_EQ(fake.engine->metrics().kv_blocks_total, 48U);
  }
}

TEST(EngineMemory, AStepWithoutMemoryInTheSmallestCacheFails) {
  FakeEngine::Setup setup = watching();
  setup.blocks = {32};
  FakeEngine fake(setup);
  fake.program->failure = ErrorCode::out_of_memory;
  fake.program->fail_next_runs = 1;
  const auto answer = fake.submit(greedy(some_tokens(20, 1), 8));
  fake.wait_until_idle();
  ASSERT_TRUE(answer->error);
  EXPECT_EQ(answer->error->code, ErrorCode::out_of_memory);
}

TEST(EngineMemory, WhereThereIsNotEvenRoomForLessItTriesAgain) {
  FakeEngine fake(watching());
  // What there is room for now is gone before it is taken, three quarters of that, too, and the least; once more later.
  fake.failing_resizes = 4;
  fake.overused_bytes = 8 * kMiB;
  while (fake.failing_resizes > 0) std::this_thread::yield();
  fake.overused_bytes = 0;
  while (fake.engine->metrics().cache_resizes == 0) std::this_thread::yield();
  EXPECT_EQ(fake.engine->metrics().kv_blocks_total, 32U);
  const Request request = greedy(some_tokens(30, 2), 20);
  const auto answer = fake.submit(request);
  fake.wait_until_idle();
  fake.expect_as_alone(request, *answer);
}

TEST(EngineMemory, ADeviceThatIsLostTwiceBeforeAStepComesBackWithLess) {
  FakeEngine::Setup setup = watching();
  setup.rebuilds = 2;
  FakeEngine fake(setup);
  fake.lost_rebuilds = 1;
  fake.program->fail_next_runs = 1;
  fake.submit(greedy(some_tokens(20, 1), 8));
  fake.wait_until_idle();
  EXPECT_EQ(fake.engine->metrics().kv_blocks_total, 48U);
  const Request request = greedy(some_tokens(30, 2), 20);
  const auto answer = fake.submit(request);
  fake.wait_until_idle();
  fake.expect_as_alone(request, *answer);
}

}  // namespace
}  // namespace hearth
