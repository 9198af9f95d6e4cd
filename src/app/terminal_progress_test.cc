#include "app/terminal_progress.h"

#include <gtest/gtest.h>

namespace hearth::app {
namespace {

TEST(ProgressText, SaysHowFarHowQuicklyAndHowLongStill) {
  ProgressMeter meter;
  const ProgressMeter::TimePoint begin{};
  const auto at = [&](int ms) { return begin + std::chrono::milliseconds(ms); };
  meter.report({.stage = "read", .done_bytes = 0, .total_bytes = 4'000'000'000}, at(0));
  EXPECT_EQ(progress_text(meter, at(0)), "read:   0 % of 4000 MB");
  meter.report({.stage = "read", .done_bytes = 1'000'000'000, .total_bytes = 4'000'000'000}, at(500));
  EXPECT_EQ(progress_text(meter, at(500)), "read:  25 % of 4000 MB, 2.00 GB/s, 2 s left");
  meter.report({.stage = "read", .done_bytes = 4'000'000'000, .total_bytes = 4'000'000'000}, at(2000));
  EXPECT_EQ(progress_text(meter, at(2000)), "read: 100 % of 4000 MB, 2.00 GB/s");
}

}  // namespace
}  // namespace hearth::app
