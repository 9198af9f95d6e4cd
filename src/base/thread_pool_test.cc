#include "base/thread_pool.h"

#include <gtest/gtest.h>
#include <sys/resource.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <thread>
#include <vector>

#if defined(__linux__)
#include <sched.h>
#endif

namespace hearth {
namespace {

using Clock = std::chrono::steady_clock;

double microseconds_since(Clock::time_point start) {
  return std::chrono::duration<double, std::micro>(Clock::now() - start).count();
}

/// Seconds of processor time that this process has used.
double process_cpu_seconds() {
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  const auto seconds = [](const timeval& t) {
    return static_cast<double>(t.tv_sec) + static_cast<double>(t.tv_usec) * 1e-6;
  };
  return seconds(usage.ru_utime) + seconds(usage.ru_stime);
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
  pool.parallel_for(16, [](size_t, unsigned) { busy_work(1000); });
  std::this_thread::sleep_for(std::chrono::milliseconds(5));
  const double before = process_cpu_seconds();
  std::this_thread::sleep_for(std::chrono::milliseconds(200));
  EXPECT_LT(process_cpu_seconds() - before, 0.02);
}

TEST(ThreadPool, WakesAfterSleep) {
  ThreadPool pool(2);
  int loops_shared = 0;
  for (int round = 0; round < 20; ++round) {
    std::this_thread::sleep_for(std::chrono::milliseconds(2));
    std::atomic<bool> worker_took_part = false;
    pool.parallel_for(400, [&](size_t, unsigned thread) {
      if (thread != 0) worker_took_part = true;
      busy_work(10000);
    });
    loops_shared += worker_took_part ? 1 : 0;
  }
  EXPECT_GT(loops_shared, 10);
}

/// Median microseconds of a loop that does nothing but meet: each index waits until all threads have one.
double median_meeting_us(ThreadPool& pool) {
  std::vector<double> batches;
  for (int batch = 0; batch < 51; ++batch) {
    constexpr int kLoops = 50;
    const auto start = Clock::now();
    for (int i = 0; i < kLoops; ++i) {
      std::atomic<unsigned> arrived = 0;
      pool.parallel_for(pool.threads(), [&](size_t, unsigned) {
        arrived.fetch_add(1);
        while (arrived.load() < pool.threads()) std::this_thread::yield();
      });
    }
    batches.push_back(microseconds_since(start) / kLoops);
  }
  std::nth_element(batches.begin(), batches.begin() + 25, batches.end());
  return batches[25];
}

// The bound is loose, as a build machine may be busy; the printed number is what to look at.
TEST(ThreadPool, StartAndBarrierAreCheap) {
  ThreadPool pool(2);
  const double us = median_meeting_us(pool);
  printf("a loop in which 2 threads meet takes %.3f us\n", us);
  EXPECT_LT(us, 100.0);
}

// Four times more threads than cores, and spinners on all of them: nobody may wait for a thread that has no work.
TEST(ThreadPool, DoesNotCollapseWhenCoresAreTaken) {
  const unsigned cores = std::max(1U, std::thread::hardware_concurrency());
  constexpr size_t kLoops = 300;
  constexpr size_t kChunks = 16;
  constexpr uint64_t kRounds = 8000;  // about 10 microseconds

  const auto seconds_of_loops = [&](ThreadPool& pool) {
    const auto start = Clock::now();
    for (size_t loop = 0; loop < kLoops; ++loop) {
      pool.parallel_for(kChunks, [](size_t, unsigned) { busy_work(kRounds); });
    }
    return microseconds_since(start) * 1e-6;
  };

  ThreadPool alone(1);
  const double serial = seconds_of_loops(alone);
  std::vector<std::jthread> spinners;
  for (unsigned core = 0; core < cores; ++core) {
    spinners.emplace_back([core](const std::stop_token& stop) {
#if defined(__linux__)
      cpu_set_t set;
      CPU_ZERO(&set);
      CPU_SET(core, &set);
      sched_setaffinity(0, sizeof(set), &set);  // where it is refused the spinner still spins
#endif
      while (!stop.stop_requested()) busy_work(1000);
    });
  }
  ThreadPool crowded(cores * 4);
  const double seconds = seconds_of_loops(crowded);
  printf("serial %.3f s; %u threads beside %u spinners %.3f s\n", serial, crowded.threads(), cores, seconds);
  EXPECT_LT(seconds, serial * 6 + 0.5);
}

}  // namespace
}  // namespace hearth
