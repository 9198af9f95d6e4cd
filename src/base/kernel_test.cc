#include "base/kernel.h"

#include <gtest/gtest.h>

#include "base/testing/temporary_tree.h"

namespace hearth {
namespace {

TEST(Kernel, VersionsAreTheNumbersInFront) {
  EXPECT_EQ(kernel_version("6.18.4-200.fc43.x86_64"), (KernelVersion{6, 18, 4}));
  EXPECT_EQ(kernel_version("6.14-rc3"), (KernelVersion{6, 14, 0}));
  EXPECT_EQ(kernel_version("7.0.0"), (KernelVersion{7, 0, 0}));
  EXPECT_LT((KernelVersion{6, 9, 12}), (KernelVersion{6, 14, 0}));
  for (const char* release : {"", "6", "six", "6.x", ".6.1", "-6.1"}) EXPECT_FALSE(kernel_version(release)) << release;
}

TEST(Kernel, IsReadBelowTheRoot) {
  const TemporaryTree tree;
  EXPECT_FALSE(kernel_release(tree.root()));
  EXPECT_FALSE(has_kernel_argument(tree.root(), "quiet"));
  tree.write("proc/sys/kernel/osrelease", "6.12.9-amd64\n");
  tree.write("proc/cmdline", "root=" + std::string(300, 'x') + " quiet amd_iommu=off\n");
  EXPECT_EQ(kernel_release(tree.root()), "6.12.9-amd64");
  EXPECT_TRUE(has_kernel_argument(tree.root(), "amd_iommu=off"));
  EXPECT_FALSE(has_kernel_argument(tree.root(), "iommu=off")) << "a part of a word is none";
}

}  // namespace
}  // namespace hearth
