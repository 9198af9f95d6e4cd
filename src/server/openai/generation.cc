#include "server/openai/generation.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <utility>

#include "server/openai/generation_params.h"

namespace hearth {
namespace {

/// Of JSON: some 250 alternatives with their logprobs take half a millisecond.
constexpr size_t kLongAnswerBytes = 16 << 10;

}  // namespace

Generation::Generation(GenerationPlan plan)
    : plan_(std::move(plan)),
      choices_(plan_.requests.size() * plan_.choices_per_prompt),
      unfinished_(choices_.size()) {}

Generation::~Generation() { cancel(); }

void Generation::cancel() {
  if (queue_) queue_->close();
  for (size_t i = 0; i < handles_.size(); ++i) {
    if (!choices_[i].finish_reason) plan_.model->engine->cancel(handles_[i]);
  }
  handles_.clear();
}

void Generation::start(std::function<void()> wake) {
  queue_ = std::make_shared<EventQueue>(choices_.size(), plan_.stream, plan_.max_unsent_bytes, wake);
  for (uint32_t i = 0; i < choices_.size(); ++i) {
    Result<RequestHandle> handle = plan_.model->engine->submit(
        request_for(i), [queue = queue_, i](const RequestEvent& event) { queue->push(i, event); });
    if (!handle) {
      submit_error_ = to_api_error(handle.error());
      if (handle.error().code == ErrorCode::overloaded) submit_error_->retry_after_seconds = queue_seconds();
      cancel();
      wake();
      return;
    }
    handles_.push_back(*handle);
  }
}

/// Until the prompts that are there now will have been computed, as far as that is known: whole seconds, at least one.
unsigned Generation::queue_seconds() const {
  constexpr double kMost = 600;
  return static_cast<unsigned>(std::clamp(std::ceil(plan_.model->engine->metrics().queue_seconds), 1.0, kMost));
}

/// A copy of what its prompt's choices share, made only when the engine takes it; the last one takes the original.
Request Generation::request_for(uint32_t choice) {
  Request& shared = plan_.requests[choice / plan_.choices_per_prompt];
  const uint32_t number = choice % plan_.choices_per_prompt;
  const bool is_last = number + 1 == plan_.choices_per_prompt;
  Request request = request_of_choice(is_last ? std::move(shared) : shared, number);
  request.id += fmt::format("-{}", choice);
  return request;
}

ReplyPart Generation::take() {
  if (submit_error_) return end_with(*submit_error_);
  ReplyPart part;
  const std::vector<std::optional<RequestEvent>> events = queue_->take();
  for (uint32_t i = 0; i < events.size(); ++i) {
    if (!events[i]) continue;
    if (const std::optional<Error> failure = failure_of(*events[i])) return end_with(to_api_error(*failure));
    collect(i, *events[i]);
    if (plan_.stream) part.events += plan_.format->events(i, *events[i]);
  }
  if (unfinished_ > 0) return part;
  if (!plan_.stream) {
    part.response = HttpResponse{.body = plan_.format->response(choices_, usage())};
    return part;
  }
  if (plan_.include_usage) part.events += plan_.format->usage_event(usage());
  part.events += sse_event("[DONE]");
  part.end = true;
  return part;
}

bool Generation::take_is_long() const {
  if (submit_error_ || !queue_) return false;
  const std::optional<size_t> pending = queue_->pending_bytes();
  return pending && *pending + collected_bytes_ + plan_.echoed_bytes > kLongAnswerBytes;
}

/// Cancelled by somebody else than this: the engine stops, or the request's deadline has passed.
std::optional<Error> Generation::failure_of(const RequestEvent& event) const {
  if (event.finish_reason == FinishReason::cancelled) {
    return event.error.value_or(Error{ErrorCode::cancelled, "The request was cancelled"});
  }
  if (event.finish_reason == FinishReason::failed) {
    return event.error.value_or(Error{ErrorCode::internal, "The request failed"});
  }
  return std::nullopt;
}

void Generation::collect(uint32_t choice, const RequestEvent& event) {
  RequestEvent& collected = choices_[choice];
  if (plan_.stream) {
    collected.finish_reason = event.finish_reason;
    collected.usage = event.usage;
  } else {
    collected_bytes_ += weight_bytes(event);
    join_event(collected, event);
  }
  if (event.finish_reason) --unfinished_;
}

ReplyPart Generation::end_with(const ApiError& error) {
  cancel();
  return {.response = to_response(error)};
}

ReplyPart Generation::abandon(const Error& why) { return end_with(to_api_error(why)); }

Usage Generation::usage() const {
  Usage sum;
  for (size_t i = 0; i < choices_.size(); ++i) {
    const Usage& usage = choices_[i].usage;
    if (!plan_.drop_completion) sum.completion_tokens += usage.completion_tokens;
    if (i % plan_.choices_per_prompt != 0) continue;
    sum.prompt_tokens += usage.prompt_tokens;
    sum.cached_tokens += usage.cached_tokens;
  }
  return sum;
}

ReplyStatistics Generation::statistics() const {
  const Usage total = usage();
  ReplyStatistics statistics{.prompt_tokens = total.prompt_tokens,
                             .cached_tokens = total.cached_tokens,
                             .completion_tokens = total.completion_tokens};
  const auto first = queue_ ? queue_->first_event() : std::nullopt;
  if (first) {
    statistics.time_to_first_token = std::chrono::duration_cast<std::chrono::milliseconds>(*first - plan_.received);
  }
  return statistics;
}

}  // namespace hearth
