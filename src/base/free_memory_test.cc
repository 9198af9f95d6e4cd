#include "base/free_memory.h"

#include <gtest/gtest.h>

#include <fstream>

namespace hearth {
namespace {

namespace fs = std::filesystem;

class FreeMemory : public testing::Test {
 protected:
  void SetUp() override {
    root_ = fs::path(testing::TempDir()) / testing::UnitTest::GetInstance()->current_test_info()->name();
    fs::remove_all(root_);
  }
  void TearDown() override { fs::remove_all(root_); }

  void write(const std::string& path, const std::string& text) {
    fs::create_directories((root_ / path).parent_path());
    std::ofstream(root_ / path) << text;
  }

  fs::path root_;
};

TEST_F(FreeMemory, IsWhatTheKernelCallsAvailable) {
  write("proc/meminfo", "MemTotal:  100 kB\nMemFree:  10 kB\nMemAvailable:   70 kB\nBuffers: 1 kB\n");
  EXPECT_EQ(free_memory_bytes(root_), 70U * 1024);
}

TEST_F(FreeMemory, IsNotMoreThanTheControlGroupAllows) {
  write("proc/meminfo", "MemAvailable:   70 kB\n");
  write("sys/fs/cgroup/memory.max", "40000\n");
  write("sys/fs/cgroup/memory.current", "30000\n");
  write("sys/fs/cgroup/memory.stat", "anon 12\ninactive_file 5000\nactive_file 7\n");
  EXPECT_EQ(free_memory_bytes(root_), 15000U);
  write("sys/fs/cgroup/memory.max", "max\n");
  EXPECT_EQ(free_memory_bytes(root_), 70U * 1024);
}

TEST_F(FreeMemory, IsZeroWhereNothingIsKnown) { EXPECT_EQ(free_memory_bytes(root_), 0U); }

TEST_F(FreeMemory, ThisMachineHasSome) { EXPECT_GT(free_memory_bytes(), 1U << 20); }

}  // namespace
}  // namespace hearth
