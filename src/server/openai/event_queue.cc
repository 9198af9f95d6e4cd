#include "server/openai/event_queue.h"

#include <algorithm>
#include <utility>

namespace hearth {
namespace {

template <class T>
void append(std::vector<T>& to, const std::vector<T>& from) {
  to.insert(to.end(), from.begin(), from.end());
}

}  // namespace

// What surrounds it counts once for a joined event, so not here.
size_t weight_bytes(const RequestEvent& event) {
  constexpr size_t kTokenBytes = 8, kLogprobBytes = 64;
  size_t bytes = event.text.size() + event.tokens.size() * kTokenBytes;
  for (const auto* list : {&event.logprobs, &event.prompt_logprobs}) {
    for (const TokenLogprobs& logprobs : *list) bytes += (1 + logprobs.top.size()) * kLogprobBytes;
  }
  return bytes;
}

void join_event(RequestEvent& event, const RequestEvent& next) {
  event.text += next.text;
  append(event.tokens, next.tokens);
  append(event.logprobs, next.logprobs);
  append(event.prompt_logprobs, next.prompt_logprobs);
  if (next.finish_reason) event.finish_reason = next.finish_reason;
  if (next.stop_string) event.stop_string = next.stop_string;
  if (next.error) event.error = next.error;
  event.usage = next.usage;
}

EventQueue::EventQueue(uint32_t choices, bool is_stream, size_t max_pending_bytes, std::function<void()> wake)
    : is_stream_(is_stream), max_pending_bytes_(max_pending_bytes), wake_(std::move(wake)), pending_(choices) {}

void EventQueue::push(uint32_t choice, const RequestEvent& event) {
  std::lock_guard lock(mutex_);
  if (!wake_) return;
  if (!first_event_ && !event.tokens.empty()) first_event_ = std::chrono::steady_clock::now();
  if (pending_[choice]) {
    join_event(*pending_[choice], event);
  } else {
    pending_[choice] = event;
  }
  pending_bytes_ += weight_bytes(event);
  const bool overflows = is_stream_ && !overflowing_ && pending_bytes_ > max_pending_bytes_;
  overflowing_ |= overflows;
  const bool is_news = !has_woken_ && (is_stream_ || event.finish_reason);
  if (is_news || overflows) {
    has_woken_ = true;
    wake_();
  }
}

std::vector<std::optional<RequestEvent>> EventQueue::take() {
  std::lock_guard lock(mutex_);
  has_woken_ = false;
  pending_bytes_ = 0;
  std::vector<std::optional<RequestEvent>> taken(pending_.size());
  taken.swap(pending_);
  return taken;
}

void EventQueue::close() {
  std::lock_guard lock(mutex_);
  wake_ = nullptr;
}

bool EventQueue::is_overflowing() const {
  std::lock_guard lock(mutex_);
  return overflowing_;
}

std::optional<size_t> EventQueue::pending_bytes() const {
  std::lock_guard lock(mutex_);
  const bool is_empty = std::ranges::none_of(pending_, [](const auto& event) { return event.has_value(); });
  return is_empty ? std::nullopt : std::optional(pending_bytes_);
}

std::optional<std::chrono::steady_clock::time_point> EventQueue::first_event() const {
  std::lock_guard lock(mutex_);
  return first_event_;
}

}  // namespace hearth
