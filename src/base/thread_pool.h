#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <mutex>
#include <stop_token>
#include <thread>
#include <type_traits>
#include <vector>

namespace hearth {

/// A fixed set of threads for loops so short that starting and joining them must cost well under a microsecond.
///
/// Threads that find nothing to do spin for some tens of microseconds, so that a chain of loops finds them awake, and
/// then sleep, so that an idle pool costs nothing. The caller never waits for a thread that has not begun to work: when
/// another process holds a core, the remaining threads do the whole loop. Who waits longer than the spin sleeps, which
/// gives its core to the preempted thread that it waits for.
///
/// Loops may be started from any thread, one at a time (a second caller waits); not from inside a loop's body.
class ThreadPool {
 public:
  /// `threads` counts the caller of parallel_for, so threads - 1 are started; 0 means 1.
  explicit ThreadPool(unsigned threads);
  ~ThreadPool();
  ThreadPool(const ThreadPool&) = delete;
  ThreadPool& operator=(const ThreadPool&) = delete;

  unsigned threads() const { return static_cast<unsigned>(workers_.size()) + 1; }

  /// Calls f(index, thread) once for each index in [0, count); `thread` < threads() names the thread for scratch
  /// memory, 0 being the caller. Indices are claimed one by one in ascending order; 10 to 30 microseconds of work for
  /// an index balance well. Everything that f wrote is visible when this returns. f must not throw.
  template <class F>
  void parallel_for(size_t count, F&& f) {
    using Body = std::remove_reference_t<F>;
    if (count <= 1 || workers_.empty()) {
      for (size_t index = 0; index < count; ++index) f(index, 0U);
      return;
    }
    run_loop(
        count, [](void* body, size_t index, unsigned thread) { (*static_cast<Body*>(body))(index, thread); },
        const_cast<void*>(static_cast<const void*>(std::addressof(f))));
  }

 private:
  using Call = void (*)(void* body, size_t index, unsigned thread);

  void run_loop(size_t count, Call call, void* body);
  void work(unsigned thread, const std::stop_token& stop);
  bool join_loop();
  void leave_loop();
  void claim_indices(unsigned thread);
  void wait_for_workers();

  // state_ = number of workers inside the loop | kOpen while workers may enter | kCallerSleeps.
  static constexpr uint32_t kOpen = 1U << 30;
  static constexpr uint32_t kCallerSleeps = 1U << 31;
  static constexpr uint32_t kWorkersMask = kOpen - 1;

  // Each on a cache line of its own: they are written by different threads at different times.
  alignas(64) std::atomic<uint32_t> published_{0};  ///< counts loops; idle workers watch it
  std::atomic<uint32_t> sleepers_{0};               ///< workers that may need a wake-up when a loop is published
  alignas(64) std::atomic<uint32_t> state_{0};
  alignas(64) std::atomic<size_t> next_{0};  ///< first index that nobody claimed

  // The loop. Written by the caller while the loop is closed and no worker is inside.
  alignas(64) Call call_ = nullptr;
  void* body_ = nullptr;
  size_t count_ = 0;

  std::mutex caller_mutex_;
  std::vector<std::jthread> workers_;
};

}  // namespace hearth
