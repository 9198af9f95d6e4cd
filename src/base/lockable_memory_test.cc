#include "base/lockable_memory.h"

#include <gtest/gtest.h>

#include "base/testing/temporary_tree.h"

namespace hearth {
namespace {

constexpr const char* kHead = "Limit                     Soft Limit           Hard Limit           Units     \n";

TEST(LockableMemory, IsTheSoftLimit) {
  const TemporaryTree tree;
  EXPECT_FALSE(lockable_bytes(tree.root()));
  tree.write("proc/self/limits",
             std::string(kHead) + "Max locked memory         8388608              unlimited            bytes     \n");
  EXPECT_EQ(lockable_bytes(tree.root()), 8388608U);
  tree.write("proc/self/limits",
             std::string(kHead) + "Max locked memory         unlimited            unlimited            bytes     \n");
  EXPECT_EQ(lockable_bytes(tree.root()), UINT64_MAX);
  tree.write("proc/self/limits", std::string(kHead) + "Max locked memory         many\nMax other 1\n");
  EXPECT_FALSE(lockable_bytes(tree.root()));
}

TEST(LockableMemory, CountsForNobodyWithTheCapability) {
  const TemporaryTree tree;
  tree.write("proc/self/limits",
             std::string(kHead) + "Max locked memory         65536                65536                bytes     \n");
  tree.write("proc/self/status", "Name:\tx\nCapEff:\t0000000000004000\n");
  EXPECT_EQ(lockable_bytes(tree.root()), UINT64_MAX);
  tree.write("proc/self/status", "Name:\tx\nCapEff:\t0000000000003fff\n");
  EXPECT_EQ(lockable_bytes(tree.root()), 65536U);
}

TEST(LockableMemory, IsKnownHere) { EXPECT_TRUE(lockable_bytes()); }

}  // namespace
}  // namespace hearth
