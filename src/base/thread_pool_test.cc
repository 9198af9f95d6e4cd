#include "base/thread_pool.h"

#include <gtest/gtest.h>
#include <pthread.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <csignal>
#include <cstdint>
#include <fstream>
#include <semaphore>
#include <string>
#include <thread>
#include <vector>

// None of these looks at a clock: what must happen is waited for, however long a busy machine takes.

namespace hearth {
namespace {

/// What the system says of a thread of this process: 'R' when it runs or wants to, 'S' when it sleeps.
char state_of(pid_t thread) {
  std::ifstream file("/proc/self/task/" + std::to_string(thread) + "/stat");
  std::string line;
  std::getline(file, line);
  const size_t name_end = line.rfind(')');
  return name_end + 2 < line.size() ? line[name_end + 2] : '?';
}

/// Nanoseconds that a thread of this process has had a processor.
uint64_t processor_time_ns(pid_t thread) {
  uint64_t ns = 0;
  std::ifstream("/proc/self/task/" + std::to_string(thread) + "/schedstat") >> ns;
  return ns;
}

void wait_until_asleep(pid_t thread) {
  while (state_of(thread) != 'S') std::this_thread::sleep_for(std::chrono::milliseconds(1));
}

/// A loop in which every thread gets one index, for each waits until all are there; then calls f(thread).
template <class F>
void meet(ThreadPool& pool, F&& f) {
  std::atomic<unsigned> arrived = 0;
  pool.parallel_for(pool.threads(), [&](size_t, unsigned thread) {
    arrived.fetch_add(1);
    while (arrived.load() < pool.threads()) std::this_thread::yield();
    f(thread);
  });
}

/// The system's numbers of the pool's threads, the caller's first.
std::vector<pid_t> system_threads(ThreadPool& pool) {
  std::vector<pid_t> ids(pool.threads());
  meet(pool, [&](unsigned thread) { ids[thread] = ::gettid(); });
  return ids;
}

uint64_t busy_work(uint64_t rounds) {
  uint64_t x = rounds;
  for (uint64_t i = 0; i < rounds; ++i) {
    x = x * 6364136223846793005ULL + 1442695040888963407ULL;
    asm volatile("" : "+r"(x));
  }
  return x;
}

TEST(ThreadPool, CallsEachIndexOnce) {
  for (const unsigned threads : {0U, 1U, 2U, 3U, 8U}) {
    ThreadPool pool(threads);
    EXPECT_EQ(pool.threads(), std::max(1U, threads));
    for (const size_t count : {0, 1, 2, 3, 7, 64, 1000}) {
      std::vector<std::atomic<int>> calls(count);
      std::atomic<bool> thread_in_range = true;
      pool.parallel_for(count, [&](size_t index, unsigned thread) {
        calls[index].fetch_add(1);
        if (thread >= pool.threads()) thread_in_range = false;
      });
      EXPECT_TRUE(thread_in_range);
      for (const auto& c : calls) EXPECT_EQ(c.load(), 1);
    }
  }
}

// What one loop wrote without atomics must be visible to all threads of the next one.
TEST(ThreadPool, LoopsAreOrdered) {
  ThreadPool pool(4);
  constexpr size_t kCount = 37;
  std::vector<uint64_t> a(kCount, 1);
  std::vector<uint64_t> b(kCount, 0);
  uint64_t expected = 1;
  for (int round = 0; round < 2000; ++round) {
    pool.parallel_for(kCount, [&](size_t i, unsigned) { b[i] = a[kCount - 1 - i] + 1; });
    pool.parallel_for(kCount, [&](size_t i, unsigned) { a[i] = b[(i * 5) % kCount]; });
    ++expected;
  }
  for (const uint64_t x : a) EXPECT_EQ(x, expected);
}

TEST(ThreadPool, LoopsFromSeveralThreadsTakeTurns) {
  ThreadPool pool(3);
  std::atomic<uint64_t> sum = 0;
  {
    std::vector<std::jthread> callers;
    for (int caller = 0; caller < 4; ++caller) {
      callers.emplace_back([&] {
        for (int round = 0; round < 300; ++round) {
          pool.parallel_for(10, [&](size_t i, unsigned) { sum.fetch_add(i); });
        }
      });
    }
  }
  EXPECT_EQ(sum.load(), 4U * 300U * 45U);
}

TEST(ThreadPool, ScratchOfAThreadIsNeverShared) {
  ThreadPool pool(4);
  std::vector<std::atomic<int>> inside(pool.threads());
  std::atomic<bool> shared = false;
  for (int round = 0; round < 200; ++round) {
    pool.parallel_for(64, [&](size_t, unsigned thread) {
      if (inside[thread].fetch_add(1) != 0) shared = true;
      busy_work(50);
      inside[thread].fetch_sub(1);
    });
  }
  EXPECT_FALSE(shared);
}

TEST(ThreadPool, IdlePoolSleeps) {
  ThreadPool pool(4);
  std::vector<pid_t> workers = system_threads(pool);
  workers.erase(workers.begin());
  const auto all_asleep = [&] { return std::ranges::all_of(workers, [](pid_t id) { return state_of(id) == 'S'; }); };
  const auto times = [&] {
    std::vector<uint64_t> each;
    for (const pid_t id : workers) each.push_back(processor_time_ns(id));
    return each;
  };
  // A pool that spins is never seen asleep twice without having had a processor in between.
  for (;;) {
    for (const pid_t id : workers) wait_until_asleep(id);
    const auto before = times();
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
    if (times() == before && all_asleep()) break;
  }
}

TEST(ThreadPool, WakesAfterSleep) {
  ThreadPool pool(3);
  const std::vector<pid_t> ids = system_threads(pool);
  std::atomic<unsigned> met = 0;
  for (int round = 0; round < 20; ++round) {
    wait_until_asleep(ids[1]);
    wait_until_asleep(ids[2]);
    meet(pool, [&](unsigned) { met.fetch_add(1); });
  }
  EXPECT_EQ(met.load(), 60U);
}

// Threads that spin find the next loop; those that have just decided to sleep must not miss it.
TEST(ThreadPool, NoLoopIsMissed) {
  ThreadPool pool(2);
  std::atomic<unsigned> met = 0;
  for (int loop = 0; loop < 2000; ++loop) meet(pool, [&](unsigned) { met.fetch_add(1); });
  EXPECT_EQ(met.load(), 4000U);
}

std::binary_semaphore g_held(0), g_release(0);

// Nobody may wait for a thread that has not begun to work: here it is one that a signal holds.
TEST(ThreadPool, ALoopEndsWithoutAThreadThatGetsNoProcessor) {
#if defined(__SANITIZE_THREAD__)
  GTEST_SKIP() << "ThreadSanitizer delivers signals when a thread next calls the C library";
#endif
  ThreadPool pool(2);
  std::vector<pthread_t> handles(2);
  meet(pool, [&](unsigned thread) { handles[thread] = ::pthread_self(); });
  struct sigaction hold {
  }, before{};
  hold.sa_handler = [](int) {
    g_held.release();
    g_release.acquire();
  };
  ASSERT_EQ(::sigaction(SIGUSR2, &hold, &before), 0);
  ASSERT_EQ(::pthread_kill(handles[1], SIGUSR2), 0);
  g_held.acquire();
  std::vector<unsigned> calls(1000);
  std::atomic<unsigned> by_others = 0;
  for (int loop = 0; loop < 10; ++loop) {
    pool.parallel_for(calls.size(), [&](size_t i, unsigned thread) {
      ++calls[i];
      if (thread != 0) by_others.fetch_add(1);
    });
  }
  EXPECT_EQ(by_others.load(), 0U);
  for (const unsigned c : calls) EXPECT_EQ(c, 10U);
  g_release.release();
  meet(pool, [](unsigned) {});  // it is back
  ::sigaction(SIGUSR2, &before, nullptr);
}

// Who waits for a thread that works gives it its core.
TEST(ThreadPool, TheCallerSleepsWhileOthersWorkForLong) {
  ThreadPool pool(2);
  const pid_t caller = ::gettid();
  meet(pool, [&](unsigned thread) {
    if (thread != 0) wait_until_asleep(caller);
  });
}

}  // namespace
}  // namespace hearth
