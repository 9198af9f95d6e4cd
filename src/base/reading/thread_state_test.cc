#include "base/reading/thread_state.h"

#include <gmock/gmock.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <atomic>
#include <fstream>
#include <thread>

namespace hearth {
namespace {

TEST(KernelView, NamesTheSystemCallThatAThreadWaitsIn) {
  int ends[2];
  ASSERT_EQ(::pipe(ends), 0);
  std::atomic<pid_t> thread = 0;
  std::jthread reader([&] {
    thread = ::gettid();
    thread.notify_all();
    char byte = 0;
    EXPECT_EQ(::read(ends[0], &byte, 1), 1);
  });
  thread.wait(0);
  const std::string reading = std::to_string(SYS_read);
  std::string call = "unknown";
  for (int i = 0; i < 60'000 && !call.empty() && call != reading; ++i) {
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
    call.clear();  // stays so where nobody may know
    std::ifstream("/proc/self/task/" + std::to_string(thread) + "/syscall") >> call;
  }
  const std::string view = kernel_view(thread);
  EXPECT_TRUE(call.empty() || view.find("system call " + call) != view.npos) << view;
  EXPECT_EQ(view.find('\n'), view.npos);
  EXPECT_EQ(::write(ends[1], "x", 1), 1);
  reader.join();
  ::close(ends[0]);
  ::close(ends[1]);
  EXPECT_EQ(kernel_view(-1), "") << "there is no such thread";
}

}  // namespace
}  // namespace hearth
