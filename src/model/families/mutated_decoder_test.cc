// Damaged and hostile configurations end in a description that keeps its promises, or in an error: never in a crash,
// nor in gigabytes. The same with libFuzzer: fuzz_decoder.cc.

#include "model/testing/mutated_decoder.h"

#include <gtest/gtest.h>
#include <sys/resource.h>

#include <random>

namespace hearth {
namespace {

constexpr int kConfigurations = 20000;
constexpr int kFiles = 5000;

/// A few numbers of a file may not need more. AddressSanitizer keeps some hundred MB of what was freed.
#if defined(__SANITIZE_ADDRESS__)
constexpr long kMostKibibytes = 1 << 20;
#else
constexpr long kMostKibibytes = 100 << 10;
#endif

/// The most memory that the process has held so far.
long largest_kibibytes() {
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  return usage.ru_maxrss;
}

TEST(MutatedDecoder, KeepsItsPromisesOrIsAnError) {
  std::mt19937 random(12);
  const auto choose = [&](size_t limit) { return static_cast<size_t>(random() % limit); };
  const long before = largest_kibibytes();
  for (int i = 0; i < kConfigurations; ++i) ASSERT_EQ(mutated::describe_config(choose), "") << "configuration " << i;
  for (int i = 0; i < kFiles; ++i) ASSERT_EQ(mutated::describe_gguf(choose), "") << "file " << i;
  EXPECT_LT(largest_kibibytes() - before, kMostKibibytes) << "a number of a file decided about an allocation";
}

}  // namespace
}  // namespace hearth
