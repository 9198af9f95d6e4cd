#include "engine/likely_forks.h"

#include <gtest/gtest.h>

#include "device/step.h"

namespace hearth {
namespace {

constexpr int32_t kControl = 1;

/// Messages of so many tokens, each behind a control token.
std::vector<uint32_t> forks_of(std::initializer_list<size_t> messages) {
  std::vector<int32_t> prompt;
  for (const size_t size : messages) {
    prompt.push_back(kControl);
    prompt.insert(prompt.end(), size - 1, 7);
  }
  return likely_forks(prompt, [](int32_t token) { return token == kControl; });
}

using Forks = std::vector<uint32_t>;

TEST(LikelyForks, AreBehindTheFirstMessageBeforeTheLastOneAndAtTheEnd) {
  EXPECT_EQ(forks_of({1000, 300, 400, 500}), (Forks{992, 1696, 2192}));
  EXPECT_EQ(forks_of({1000, 500}), (Forks{992, 1488}));
  EXPECT_EQ(forks_of({1000}), Forks{992});
  EXPECT_EQ(forks_of({1000, 300, 400, 500, 3}), (Forks{992, 1696, 2192})) << "the turn that is asked for is no message";
}

TEST(LikelyForks, AreWorthTheirSteps) {
  EXPECT_EQ(forks_of({20}), Forks{});
  EXPECT_EQ(forks_of({20, 60, 40}), Forks{});
  EXPECT_EQ(forks_of({20, 500}), Forks{512}) << "a short beginning is quickly computed";
  EXPECT_EQ(forks_of({500, 20}), Forks{512});
}

TEST(LikelyForks, AreBelowThePromptAndWholeBlocks) {
  for (size_t size = 1; size < 700; ++size) {
    const Forks forks = forks_of({size / 2 + 1, size / 3 + 1, size});
    for (size_t i = 0; i < forks.size(); ++i) {
      ASSERT_EQ(forks[i] % kBlockTokens, 0U);
      ASSERT_LT(forks[i], size / 2 + size / 3 + size + 2);
      if (i > 0) ASSERT_GT(forks[i], forks[i - 1]);
    }
  }
}

}  // namespace
}  // namespace hearth
