#pragma once

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <deque>
#include <functional>
#include <future>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <type_traits>
#include <utility>

#include "base/result.h"

namespace hearth {

/// Calls that wait for a thread, in their order. Thread-safe.
class CallQueue {
 public:
  void post(std::function<void()> work);

 private:
  friend class CallThread;

  std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<std::function<void()>> work_;
  bool is_last_ = false, has_ended_ = false;
};

/// A thread for calls of a library that may never return. Nobody waits for one longer than `limit`; after one that hung
/// no other is made, and the thread is left behind with all that its calls own. For one caller at a time.
class CallThread {
 public:
  explicit CallThread(std::chrono::milliseconds limit);

  /// Waits until what was posted is done, as long as a call may take; a thread that hangs is left behind at once.
  ~CallThread();
  CallThread(const CallThread&) = delete;

  /// Does `work`, which returns a Result and owns all that it uses. `what` says what hung: "a kernel ran". Errors:
  /// those of `work`; timed_out, when it hangs or an earlier one did.
  template <class Work, class Returned = std::invoke_result_t<Work>>
  Returned call(const char* what, Work work) {
    std::future<Returned> result = begin(std::move(work));
    return end(what, result);
  }

  /// The two halves of a call, for who has something else to do meanwhile.
  template <class Work, class Returned = std::invoke_result_t<Work>>
  std::future<Returned> begin(Work work) {
    const auto task = std::make_shared<std::packaged_task<Returned()>>(std::move(work));
    std::future<Returned> result = task->get_future();
    if (!hangs_) queue_->post([task] { (*task)(); });
    return result;
  }
  template <class Returned>
  Returned end(const char* what, std::future<Returned>& result) {
    if (hangs_) return std::unexpected(*hangs_);
    if (result.wait_for(limit_) == std::future_status::ready) return result.get();
    hangs_ = no_answer(what);
    return std::unexpected(*hangs_);
  }

  /// To post work that nobody waits for. Lives on where the thread is left behind.
  const std::shared_ptr<CallQueue>& queue() const { return queue_; }

  std::chrono::milliseconds limit() const { return limit_; }

 private:
  Error no_answer(const char* what) const;

  const std::chrono::milliseconds limit_;
  const std::shared_ptr<CallQueue> queue_ = std::make_shared<CallQueue>();
  std::optional<Error> hangs_;
  std::thread thread_;
};

}  // namespace hearth
