#include "engine/inbox.h"

#include <fmt/format.h>

#include <algorithm>

namespace hearth {

Result<RequestHandle> Inbox::submit(std::unique_ptr<ActiveRequest> request) {
  const std::lock_guard lock(mutex_);
  if (Result<void> room = check_room(request->request.user); !room) return pass_on(room);
  ++in_flight_;
  ++in_flight_by_user_[request->request.user.id];
  request->sequence.arrival = ++last_handle_;
  commands_.submitted.push_back(std::move(request));
  filled_.notify_one();
  return last_handle_;
}

Result<void> Inbox::check_room(const User& user) const {
  if (draining_) return fail(ErrorCode::overloaded, "the engine is shutting down");
  const auto found = in_flight_by_user_.find(user.id);
  const uint64_t own = found == in_flight_by_user_.end() ? 0 : found->second;
  if (own >= uint64_t{std::min(user.max_running, running_)} + user.max_waiting) {
    return fail(ErrorCode::overloaded, fmt::format("{} requests of this user are running or waiting already", own),
                "try again later");
  }
  const uint64_t capacity = uint64_t{running_} + waiting_ + (own == 0 ? running_ : 0);
  if (in_flight_ >= capacity) {
    return fail(ErrorCode::overloaded, fmt::format("{} requests are running or waiting already", in_flight_),
                "try again later");
  }
  return {};
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
  if (wait) filled_.wait(lock, stop, [&] { return !is_empty(); });
  std::swap(commands, commands_);
  return !stop.stop_requested();
}

bool Inbox::wait_for(const std::stop_token& stop, std::chrono::milliseconds most) {
  std::unique_lock lock(mutex_);
  return filled_.wait_for(lock, stop, most, [&] { return !is_empty(); }) || stop.stop_requested();
}

void Inbox::note_end(const std::string& user_id) {
  const std::lock_guard lock(mutex_);
  const auto own = in_flight_by_user_.find(user_id);
  if (--own->second == 0) in_flight_by_user_.erase(own);
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
