#include "device/npu/call_thread.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <vector>

namespace hearth {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

constexpr std::chrono::milliseconds kLong = std::chrono::seconds(20), kShort(50);

TEST(CallThreadTest, DoesOneThingAfterTheOtherAndAllBeforeItEnds) {
  std::vector<int> done;
  {
    CallThread thread(kLong);
    thread.queue()->post([&] { done.push_back(1); });
    auto begun = thread.begin([&]() -> Result<int> { return done.emplace_back(2); });
    EXPECT_EQ(thread.call("three was done", [&]() -> Result<int> { return done.emplace_back(3); }), 3);
    EXPECT_EQ(thread.end("two was done", begun), 2);
    thread.queue()->post([&, queue = thread.queue()] { queue->post([&] { done.push_back(4); }); });
  }
  EXPECT_THAT(done, ElementsAre(1, 2, 3, 4));
}

TEST(CallThreadTest, PassesErrorsOn) {
  CallThread thread(kLong);
  const auto failed = thread.call("it failed", []() -> Result<void> { return fail(ErrorCode::io, "broken"); });
  ASSERT_FALSE(failed);
  EXPECT_EQ(failed.error().message, "broken");
  EXPECT_TRUE(thread.call("it worked", []() -> Result<void> { return {}; })) << "a failure is no hang";
}

TEST(CallThreadTest, WhatHangsIsLeftBehindWithWhatItOwns) {
  std::promise<void> release;
  const auto owned = std::make_shared<int>(7);
  std::weak_ptr<int> seen = owned;
  auto released = release.get_future().share();
  {
    CallThread thread(kShort);
    const auto hung = thread.call("it slept", [released, owned]() -> Result<int> {
      released.wait();
      return *owned;
    });
    ASSERT_FALSE(hung);
    EXPECT_EQ(hung.error().code, ErrorCode::timed_out);
    EXPECT_THAT(hung.error().message, HasSubstr("no answer for 0.1 s while it slept"));
    const auto next = thread.call("it was asked again", []() -> Result<int> { return 1; });
    ASSERT_FALSE(next);
    EXPECT_EQ(next.error().message, hung.error().message) << "nothing is asked of what hangs";
  }
  EXPECT_GT(seen.use_count(), 1);
  release.set_value();
  while (seen.use_count() > 1) std::this_thread::sleep_for(std::chrono::milliseconds(1));
}

}  // namespace
}  // namespace hearth
