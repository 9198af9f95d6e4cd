#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <mutex>
#include <optional>
#include <vector>

#include "engine/request.h"

namespace hearth {

/// What an engine has generated for the choices of one answer and a connection has not yet fetched. The engine's thread
/// pushes and never waits; the I/O thread takes. Events of a choice that wait are joined into one, so a reader that is
/// slower than the engine gets larger pieces rather than a longer queue.
class EventQueue {
 public:
  /// `wake` is called when there is something to take: for an answer in one piece once a choice has ended, for a
  /// stream on every first event. `max_pending_bytes` is about what may wait.
  EventQueue(uint32_t choices, bool is_stream, size_t max_pending_bytes, std::function<void()> wake);

  void push(uint32_t choice, const RequestEvent& event);

  /// What came since the last call: for each choice nothing or one joined event..
  std::vector<std::optional<RequestEvent>> take();

  /// Events are dropped and nobody is woken from here on.
  void close();

  bool is_overflowing() const;

  /// About what take() would bring, as JSON; nothing where there is nothing.
  std::optional<size_t> pending_bytes() const;
  std::optional<std::chrono::steady_clock::time_point> first_event() const;

 private:
  const bool is_stream_;
  const size_t max_pending_bytes_;

  mutable std::mutex mutex_;
  std::function<void()> wake_;  ///< empty once closed
  std::vector<std::optional<RequestEvent>> pending_;
  size_t pending_bytes_ = 0;
  bool has_woken_ = false;  ///< since the last take
  bool overflowing_ = false;
  std::optional<std::chrono::steady_clock::time_point> first_event_;
};

/// About what an event becomes as JSON.
size_t weight_bytes(const RequestEvent& event);

/// Appends `next`, which came after `event` for the same choice.
void join_event(RequestEvent& event, const RequestEvent& next);

}  // namespace hearth
