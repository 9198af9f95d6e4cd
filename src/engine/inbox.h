#pragma once

#include <chrono>
#include <condition_variable>
#include <memory>
#include <mutex>
#include <stop_token>
#include <string>
#include <unordered_map>
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

  /// `running` and `waiting`: so many requests submitted and not ended, at most. Users without any may exceed that by
  /// `running` together, so that one with many cannot close the engine for others.
  Inbox(uint32_t running, uint32_t waiting) : running_(running), waiting_(waiting) {}

  /// Numbers the request. Errors: overloaded, when too many are on their way, of all users or of this one (who has
  /// User::max_waiting beside those that may run), or after drain.
  Result<RequestHandle> submit(std::unique_ptr<ActiveRequest> request);
  void cancel(RequestHandle handle);

  /// For the engine's thread: replaces `commands` by what has come in; first waits for something if `wait`. False when
  /// `stop` was requested.
  bool take(const std::stop_token& stop, bool wait, Commands& commands);

  /// For the engine's thread: whether something has come in or `stop` was requested, for which it waits so long.
  bool wait_for(const std::stop_token& stop, std::chrono::milliseconds most);

  /// For the engine's thread: a request of this user has had its last event.
  void note_end(const std::string& user_id);

  /// Refuses everything from now on and waits until all requests have ended, or false after `timeout`.
  bool drain(std::chrono::milliseconds timeout);

  uint32_t in_flight() const;

 private:
  Result<void> check_room(const User& user) const;
  bool is_empty() const { return commands_.submitted.empty() && commands_.cancelled.empty(); }

  const uint32_t running_, waiting_;
  mutable std::mutex mutex_;
  std::condition_variable_any filled_;
  std::condition_variable all_ended_;
  Commands commands_;
  RequestHandle last_handle_ = 0;
  uint32_t in_flight_ = 0;
  std::unordered_map<std::string, uint32_t> in_flight_by_user_;  ///< none is 0
  bool draining_ = false;
};

}  // namespace hearth
