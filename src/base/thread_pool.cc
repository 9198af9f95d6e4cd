#include "base/thread_pool.h"

#include <chrono>

#if defined(__x86_64__) || defined(__i386__)
#include <immintrin.h>
#endif

namespace hearth {
namespace {

constexpr auto kSpinTime = std::chrono::microseconds(50);

void pause_processor() {
#if defined(__x86_64__) || defined(__i386__)
  _mm_pause();
#elif defined(__aarch64__)
  asm volatile("isb");
#endif
}

/// Spins until `done()` or until kSpinTime has passed; returns what done() said last.
template <class Done>
bool spin_until(Done&& done) {
  const auto deadline = std::chrono::steady_clock::now() + kSpinTime;
  do {
    for (int i = 0; i < 32; ++i) {
      if (done()) return true;
      pause_processor();
    }
  } while (std::chrono::steady_clock::now() < deadline);
  return done();
}

}  // namespace

ThreadPool::ThreadPool(unsigned threads) {
  for (unsigned thread = 1; thread < threads; ++thread) {
    workers_.emplace_back([this, thread](const std::stop_token& stop) { work(thread, stop); });
  }
}

ThreadPool::~ThreadPool() {
  for (auto& worker : workers_) worker.request_stop();
  published_.fetch_add(1);
  published_.notify_all();
  workers_.clear();
}

void ThreadPool::run_loop(size_t count, Call call, void* body) {
  const std::lock_guard lock(caller_mutex_);
  call_ = call;
  body_ = body;
  count_ = count;
  next_.store(0, std::memory_order_relaxed);
  state_.fetch_add(kOpen, std::memory_order_release);
  // Sequentially consistent with sleepers_: either a worker about to sleep sees the new number, or it is seen here.
  published_.fetch_add(1);
  if (sleepers_.load() != 0 && sleepers_.exchange(0) != 0) published_.notify_all();
  claim_indices(0);
  wait_for_workers();
}

void ThreadPool::claim_indices(unsigned thread) {
  const Call call = call_;
  void* const body = body_;
  const size_t count = count_;
  for (;;) {
    const size_t index = next_.fetch_add(1, std::memory_order_relaxed);
    if (index >= count) return;
    call(body, index, thread);
  }
}

void ThreadPool::wait_for_workers() {
  const auto workers_inside = [this] { return state_.load(std::memory_order_acquire) & kWorkersMask; };
  if ((state_.fetch_and(~kOpen, std::memory_order_acq_rel) & kWorkersMask) == 0) return;
  if (spin_until([&] { return workers_inside() == 0; })) return;
  state_.fetch_or(kCallerSleeps, std::memory_order_acq_rel);
  for (uint32_t state = state_.load(std::memory_order_acquire); (state & kWorkersMask) != 0;
       state = state_.load(std::memory_order_acquire)) {
    state_.wait(state, std::memory_order_acquire);
  }
  state_.fetch_and(~kCallerSleeps, std::memory_order_acq_rel);
}

bool ThreadPool::join_loop() {
  if ((state_.load(std::memory_order_relaxed) & kOpen) == 0) return false;
  if ((state_.fetch_add(1, std::memory_order_acquire) & kOpen) != 0) return true;
  leave_loop();  // it was closed in between, and the caller may already count us
  return false;
}

void ThreadPool::leave_loop() {
  const uint32_t before = state_.fetch_sub(1, std::memory_order_acq_rel);
  if (before == (kCallerSleeps | 1)) state_.notify_all();
}

void ThreadPool::work(unsigned thread, const std::stop_token& stop) {
  uint32_t seen = 0;
  while (!stop.stop_requested()) {
    const auto is_published = [&] { return published_.load(std::memory_order_acquire) != seen; };
    if (!spin_until(is_published)) {
      // Whoever publishes next resets the count; one too many costs a needless wake-up, never a missed one.
      sleepers_.fetch_add(1);
      published_.wait(seen);
    }
    seen = published_.load(std::memory_order_acquire);
    if (!join_loop()) continue;
    claim_indices(thread);
    leave_loop();
  }
}

}  // namespace hearth
