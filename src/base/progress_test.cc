#include "base/progress.h"

#include <gtest/gtest.h>

#include <thread>
#include <vector>

namespace hearth {
namespace {

TEST(Progress, FractionComesFromBytesElseFromLayers) {
  EXPECT_EQ(Progress{}.fraction(), 0.0);
  EXPECT_EQ((Progress{.stage = "read", .done_bytes = 1, .total_bytes = 4, .layer = 9, .layers = 10}.fraction()), 0.25);
  EXPECT_EQ((Progress{.stage = "read", .done_bytes = 9, .total_bytes = 4}.fraction()), 1.0);
  EXPECT_EQ((Progress{.stage = "pack", .layer = 3, .layers = 4}.fraction()), 0.75);
  EXPECT_EQ((Progress{.stage = "pack", .layer = -1, .layers = 4}.fraction()), 0.0);
}

TEST(LatestProgress, ReportsAreWholeWhoeverReads) {
  LatestProgress progress;
  std::vector<std::jthread> writers;
  for (const char* stage : {"read", "a stage whose name needs the heap"}) {
    writers.emplace_back([&, stage] {
      const uint64_t bytes = std::string_view(stage).size();
      for (int i = 0; i < 2000; ++i) progress.report({.stage = stage, .done_bytes = bytes, .total_bytes = bytes});
    });
  }
  for (int i = 0; i < 2000; ++i) {
    const Progress seen = progress.latest();
    ASSERT_EQ(seen.stage.size(), seen.done_bytes);
  }
}

}  // namespace
}  // namespace hearth
