#include "base/progress_meter.h"

#include <gtest/gtest.h>

namespace hearth {
namespace {

using std::chrono::milliseconds;

Progress reading(uint64_t done_bytes) { return {.stage = "read", .done_bytes = done_bytes, .total_bytes = 10'000'000}; }

TEST(ProgressMeter, AConstantRateIsFoundAndEndsInTime) {
  ProgressMeter meter;
  ProgressMeter::TimePoint now{};
  for (uint64_t ms = 0; ms <= 4000; ms += 10) meter.report(reading(ms * 1000), now + milliseconds(ms));
  now += milliseconds(4000);
  EXPECT_NEAR(meter.bytes_per_second(now), 1e6, 1e4);
  ASSERT_TRUE(meter.seconds_left(now));
  EXPECT_NEAR(*meter.seconds_left(now), 6.0, 0.1);
}

TEST(ProgressMeter, ARateThatChangesIsThatOfTheLastSeconds) {
  ProgressMeter meter;
  const ProgressMeter::TimePoint begin{};
  for (uint64_t ms = 0; ms <= 1000; ms += 100) meter.report(reading(ms * 5000), begin + milliseconds(ms));
  for (uint64_t ms = 1100; ms <= 8000; ms += 100) {
    meter.report(reading(5'000'000 + (ms - 1000) * 100), begin + milliseconds(ms));
  }
  EXPECT_NEAR(meter.bytes_per_second(begin + milliseconds(8000)), 1e5, 5e3);
}

TEST(ProgressMeter, TheRateFallsWhileNothingComes) {
  ProgressMeter meter;
  const ProgressMeter::TimePoint begin{};
  meter.report(reading(0), begin);
  meter.report(reading(1'000'000), begin + milliseconds(1000));
  double rate = 2e6;
  for (const int seconds : {1, 2, 5, 50}) {
    const double now = meter.bytes_per_second(begin + std::chrono::seconds(seconds));
    EXPECT_LT(now, rate);
    rate = now;
  }
}

TEST(ProgressMeter, NothingIsSaidBeforeThereIsSomethingToSay) {
  ProgressMeter meter;
  const ProgressMeter::TimePoint begin{};
  EXPECT_FALSE(meter.seconds_left(begin));
  meter.report({.stage = "warm up"}, begin);
  EXPECT_EQ(meter.bytes_per_second(begin + milliseconds(10)), 0);
  EXPECT_FALSE(meter.seconds_left(begin + milliseconds(10)));
  meter.report(reading(5000), begin);
  EXPECT_FALSE(meter.seconds_left(begin + milliseconds(10))) << "one report has no rate";
}

TEST(ProgressMeter, AnotherStageBeginsAnew) {
  ProgressMeter meter;
  const ProgressMeter::TimePoint begin{};
  meter.report(reading(0), begin);
  meter.report(reading(9'000'000), begin + milliseconds(100));
  meter.report({.stage = "pack", .done_bytes = 0, .total_bytes = 100}, begin + milliseconds(200));
  EXPECT_EQ(meter.bytes_per_second(begin + milliseconds(300)), 0);
}

}  // namespace
}  // namespace hearth
