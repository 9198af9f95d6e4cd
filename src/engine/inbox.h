#pragma once

#include <chrono>
#include <condition_variable>
#include <memory>
#include <mutex>
#include <stop_token>
#include <vector>

#include "base/result.h"
#include "engine/active_request.h"

namespace hearth {

/// Where other threads leave requests and cancellations for the engine's thread, and how many may be on their way.
/// Thread-safe.
class Inbox {
 public:
  struct Commands {
    std::vector<std::unique_ptr<ActiveRequest>> submitted;
    std::vector<RequestHandle> cancelled;
  };

  /// `capacity`: requests submitted and not ended, at most.
  explicit Inbox(uint32_t capacity) : capacity_(capacity) {}

  /// Numbers the request. Errors: overloaded, when too many are on their way or after drain.
  Result<RequestHandle> submit(std::unique_ptr<ActiveRequest> request);
  void cancel(RequestHandle handle);

  /// For the engine's thread: replaces `commands` by what has come in; first waits for something if `wait`. False when
  /// `stop` was requested.
  bool take(const std::stop_token& stop, bool wait, Commands& commands);

  /// For the engine's thread: a request has had its last event.
  void note_end();

  /// Refuses everything from now on and waits until all requests have ended, or false after `timeout`.
  bool drain(std::chrono::milliseconds timeout);

  uint32_t in_flight() const;

 private:
  const uint32_t capacity_;
  mutable std::mutex mutex_;
  std::condition_variable_any filled_;
  std::condition_variable all_ended_;
  Commands commands_;
  RequestHandle last_handle_ = 0;
  uint32_t in_flight_ = 0;
  bool draining_ = false;
};

}  // namespace hearth
