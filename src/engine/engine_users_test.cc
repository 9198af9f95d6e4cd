// What users may have on their way at once.

#include <gtest/gtest.h>

#include <future>

#include "engine/testing/engine_fixture.h"

namespace hearth {
namespace {

TEST(EngineUsers, OneMayNotFillTheQueueForOthers) {
  FakeEngine fake({.options = {.max_sequences = 2, .max_waiting = 3}});
  std::promise<void> go_on;
  fake.program->before_run = [wait = go_on.get_future().share()](const StepInput&) { wait.wait(); };
  const auto request_of = [](const User& user) {
    Request request = greedy(some_tokens(10, 1), 2);
    request.user = user;
    return request;
  };
  const auto refusal = [&](const User& user) {
    const auto refused = fake.engine->submit(request_of(user), [](const RequestEvent&) { FAIL(); });
    return refused ? ErrorCode::internal : refused.error().code;
  };
  const User limited = {.id = "limited", .max_running = 1, .max_waiting = 1};
  for (int i = 0; i < 2; ++i) fake.submit(request_of(limited));
  EXPECT_EQ(refusal(limited), ErrorCode::overloaded);
  for (int i = 0; i < 3; ++i) fake.submit(request_of({.id = "many"}));
  EXPECT_EQ(refusal({.id = "many"}), ErrorCode::overloaded) << "five are there";
  fake.submit(request_of({.id = "newcomer"}));
  EXPECT_EQ(refusal({.id = "newcomer"}), ErrorCode::overloaded) << "has one now";
  fake.submit(request_of({.id = "another"}));
  EXPECT_EQ(refusal({.id = "third"}), ErrorCode::overloaded) << "even that room ends";
  go_on.set_value();
  fake.wait_until_idle();
  fake.submit(request_of(limited));
  fake.wait_until_idle();
}

}  // namespace
}  // namespace hearth
