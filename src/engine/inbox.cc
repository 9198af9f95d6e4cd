#include "engine/inbox.h"

#include <fmt/format.h>

namespace hearth {

Result<RequestHandle> Inbox::submit(std::unique_ptr<ActiveRequest> request) {
  const std::lock_guard lock(mutex_);
  if (draining_) return fail(ErrorCode::overloaded, "the engine is shutting down");
  if (in_flight_ >= capacity_) {
    return fail(ErrorCode::overloaded, fmt::format("{} requests are running or waiting already", in_flight_),
                "try again later");
  }
  ++in_flight_;
  request->sequence.arrival = ++last_handle_;
  commands_.submitted.push_back(std::move(request));
  filled_.notify_one();
  return last_handle_;
}

void Inbox::cancel(RequestHandle handle) {
  const std::lock_guard lock(mutex_);
  commands_.cancelled.push_back(handle);
  filled_.notify_one();
}

bool Inbox::take(const std::stop_token& stop, bool wait, Commands& commands) {
  commands.submitted.clear();
  commands.cancelled.clear();
  std::unique_lock lock(mutex_);
  if (wait) filled_.wait(lock, stop, [&] { return !commands_.submitted.empty() || !commands_.cancelled.empty(); });
  std::swap(commands, commands_);
  return !stop.stop_requested();
}

void Inbox::note_end() {
  const std::lock_guard lock(mutex_);
  if (--in_flight_ == 0) all_ended_.notify_all();
}

bool Inbox::drain(std::chrono::milliseconds timeout) {
  std::unique_lock lock(mutex_);
  draining_ = true;
  return all_ended_.wait_for(lock, timeout, [&] { return in_flight_ == 0; });
}

uint32_t Inbox::in_flight() const {
  const std::lock_guard lock(mutex_);
  return in_flight_;
}

}  // namespace hearth
