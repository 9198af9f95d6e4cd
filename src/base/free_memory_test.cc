#include "base/free_memory.h"

#include <gtest/gtest.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

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

/// What `look` says in a process whose address space has `bytes` left.
template <class Look>
int with_address_space(uint64_t bytes, Look look) {
  const pid_t child = fork();
  if (child == 0) {
    if (free_address_space_bytes()) _exit(77);  // a limit from outside
    std::ifstream status("/proc/self/statm");
    uint64_t pages = 0;
    status >> pages;
    const rlim_t limit = pages * static_cast<uint64_t>(sysconf(_SC_PAGESIZE)) + bytes;
    const rlimit limits{limit, limit};
    if (setrlimit(RLIMIT_AS, &limits) != 0) _exit(78);
    _exit(look());
  }
  int status = 0;
  waitpid(child, &status, 0);
  return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

TEST_F(FreeMemory, IsNotMoreThanTheAddressSpaceThatIsLeft) {
  constexpr uint64_t kLeft = 64 << 20;
  const int result = with_address_space(kLeft, [] {
    const uint64_t free_bytes = free_memory_bytes();
    return free_bytes > kLeft / 2 && free_bytes <= kLeft && free_address_space_bytes() == free_bytes ? 0 : 1;
  });
  if (result == 77) GTEST_SKIP() << "the address space is limited from outside";
  EXPECT_EQ(result, 0);
}

TEST_F(FreeMemory, ThisMachineHasSome) { EXPECT_GT(free_memory_bytes(), 1U << 20); }

}  // namespace
}  // namespace hearth
