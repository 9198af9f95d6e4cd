#include "base/sleep.h"

#include <gtest/gtest.h>

#include <thread>

namespace hearth {
namespace {

using std::chrono::steady_clock;

TEST(SleepFor, SleepsItsTimeUnlessItIsStopped) {
  const auto begin = steady_clock::now();
  EXPECT_TRUE(sleep_for(std::chrono::milliseconds(20), {}));
  EXPECT_GE(steady_clock::now() - begin, std::chrono::milliseconds(20));
  std::stop_source stop;
  const std::jthread stopper([&] { stop.request_stop(); });
  EXPECT_FALSE(sleep_for(std::chrono::hours(1), stop.get_token()));
}

}  // namespace
}  // namespace hearth
