#include "base/usable_cores.h"

#include <gtest/gtest.h>
#include <sched.h>

#include <fstream>

#include "base/free_memory.h"

namespace hearth {
namespace {

namespace fs = std::filesystem;

class UsableCores : public testing::Test {
 protected:
  void SetUp() override {
    root_ = fs::path(testing::TempDir()) / testing::UnitTest::GetInstance()->current_test_info()->name();
    fs::remove_all(root_);
    cpu_set_t set;
    ASSERT_EQ(sched_getaffinity(0, sizeof(set), &set), 0);
    here_ = static_cast<uint32_t>(CPU_COUNT(&set));
  }
  void TearDown() override { fs::remove_all(root_); }

  void write(const std::string& path, const std::string& text) {
    fs::create_directories((root_ / path).parent_path());
    std::ofstream(root_ / path) << text;
  }

  fs::path root_;
  uint32_t here_ = 0;  ///< cores by affinity
};

TEST_F(UsableCores, AreThoseOfTheAffinityWithoutAQuota) {
  EXPECT_EQ(usable_cores(root_), here_);
  write("sys/fs/cgroup/cpu.max", "max 100000\n");
  EXPECT_EQ(usable_cores(root_), here_);
  write("sys/fs/cgroup/cpu/cpu.cfs_quota_us", "-1\n");
  write("sys/fs/cgroup/cpu/cpu.cfs_period_us", "100000\n");
  EXPECT_EQ(usable_cores(root_), here_);
}

TEST_F(UsableCores, AreNotMoreThanTheQuotaOfVersion2) {
  write("sys/fs/cgroup/cpu.max", "100000 100000\n");
  EXPECT_EQ(usable_cores(root_), 1U);
  write("sys/fs/cgroup/cpu.max", "20000 100000\n");
  EXPECT_EQ(usable_cores(root_), 1U);
  write("sys/fs/cgroup/cpu.max", "190000 100000\n");
  EXPECT_EQ(usable_cores(root_), 1U) << "a part of a core is none";
  write("sys/fs/cgroup/cpu.max", "100000000 100000\n");
  EXPECT_EQ(usable_cores(root_), here_);
}

TEST_F(UsableCores, AreNotMoreThanTheQuotaOfVersion1) {
  write("sys/fs/cgroup/cpu/cpu.cfs_quota_us", "50000\n");
  write("sys/fs/cgroup/cpu/cpu.cfs_period_us", "50000\n");
  EXPECT_EQ(usable_cores(root_), 1U);
}

TEST_F(UsableCores, TheProcesssOwnGroupAndAllAboveItCount) {
  write("proc/self/cgroup", "0::/system.slice/hearth.service\n");
  write("sys/fs/cgroup/system.slice/cpu.max", "100000 100000\n");
  write("sys/fs/cgroup/system.slice/hearth.service/cpu.max", "max 100000\n");
  EXPECT_EQ(usable_cores(root_), 1U);

  fs::remove_all(root_);
  write("proc/self/cgroup", "4:cpu,cpuacct:/docker/1234\n0::/\n");
  write("sys/fs/cgroup/cpu,cpuacct/docker/1234/cpu.cfs_quota_us", "100000\n");
  write("sys/fs/cgroup/cpu,cpuacct/docker/1234/cpu.cfs_period_us", "100000\n");
  EXPECT_EQ(usable_cores(root_), 1U);
}

TEST_F(UsableCores, AGroupOfTheHostIsTheRootInAContainer) {
  write("proc/self/cgroup", "0::/not/here\n");
  write("sys/fs/cgroup/cpu.max", "100000 100000\n");
  EXPECT_EQ(usable_cores(root_), 1U);
}

TEST_F(UsableCores, MemoryIsLimitedByTheSameGroups) {
  write("proc/meminfo", "MemAvailable:   70 kB\n");
  write("proc/self/cgroup", "0::/system.slice/hearth.service\n");
  write("sys/fs/cgroup/system.slice/hearth.service/memory.max", "40000\n");
  write("sys/fs/cgroup/system.slice/hearth.service/memory.current", "30000\n");
  EXPECT_EQ(free_memory_bytes(root_), 10000U);
  write("proc/self/cgroup", "4:memory:/docker/1234\n0::/\n");
  write("sys/fs/cgroup/memory/docker/1234/memory.limit_in_bytes", "50000\n");
  write("sys/fs/cgroup/memory/docker/1234/memory.usage_in_bytes", "30000\n");
  EXPECT_EQ(free_memory_bytes(root_), 20000U);
}

}  // namespace
}  // namespace hearth
