#include "base/numa_nodes.h"

#include <gtest/gtest.h>

#include "base/testing/temporary_tree.h"

namespace hearth {
namespace {

TEST(NumaNodes, AreReadByNumber) {
  const TemporaryTree tree;
  EXPECT_TRUE(numa_nodes(tree.root()).empty());
  const std::filesystem::path folder = "sys/devices/system/node";
  for (const char* name : {"node10", "node2"}) tree.write(folder / name / "cpulist", "\n");
  tree.write(folder / "node0/cpulist", "0-15,32-47\n");
  tree.write(folder / "node0/meminfo", "Node 0 MemTotal:       1000 kB\nNode 0 MemFree:        10 kB\n");
  tree.write(folder / "possible", "0-10\n");
  tree.write(folder / "node2/meminfo", "Node 2 MemTotal: none\n");
  const auto nodes = numa_nodes(tree.root());
  ASSERT_EQ(nodes.size(), 3U);
  EXPECT_EQ(nodes[0].cpus, "0-15,32-47");
  EXPECT_EQ(nodes[0].memory_bytes, 1'024'000U);
  EXPECT_EQ(nodes[0].free_bytes, 10'240U);
  EXPECT_EQ(nodes[1].number, 2U);
  EXPECT_EQ(nodes[1].cpus, "");
  EXPECT_FALSE(nodes[1].memory_bytes);
  EXPECT_EQ(nodes[2].number, 10U);
}

}  // namespace
}  // namespace hearth
