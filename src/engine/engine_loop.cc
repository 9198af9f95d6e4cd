#include "engine/engine_loop.h"

#include <algorithm>
#include <utility>

#include "device/step.h"

namespace hearth {
namespace {

using Clock = std::chrono::steady_clock;

/// Prompt tokens of a step whose logits may be wanted, beside one row for each sequence.
constexpr uint32_t kPromptLogitRows = 64;

SchedulerLimits scheduler_limits(const EngineOptions& options) {
  return {.max_sequences = options.max_sequences,
          .max_batched_tokens = options.max_batched_tokens,
          .shared_prompt_tokens = options.shared_prompt_tokens,
          .prompt_logit_rows = kPromptLogitRows,
          .prefix_cache = options.prefix_cache};
}

uint32_t prompt_tokens(const std::vector<ScheduledSequence>& step) {
  uint32_t sum = 0;
  for (const ScheduledSequence& scheduled : step) sum += scheduled.token_count > 1 ? scheduled.token_count : 0;
  return sum;
}

}  // namespace

ProgramLimits program_limits(const EngineOptions& options) {
  return {.tokens = options.max_batched_tokens,
          .logit_rows = options.max_sequences + kPromptLogitRows,
          .sequences = options.max_sequences,
          .prepare = true};
}

EngineLoop::EngineLoop(EngineParts parts)
    : program_(std::move(parts.program)),
      parts_(std::move(parts)),
      inbox_(parts_.options.max_sequences + parts_.options.max_waiting),
      cache_(parts_.cache_groups, parts_.plan.blocks_per_group),
      scheduler_(scheduler_limits(parts_.options), cache_, hash_key_),
      pace_(parts_.options.shared_prompt_tokens, parts_.options.shared_step_stretch) {
  update_metrics();
  thread_ = std::jthread([this](const std::stop_token& stop) { run(stop); });
}

void EngineLoop::run(const std::stop_token& stop) {
  stop_ = stop;
  while (take_commands(stop)) {
    if (program_ == nullptr) fail_all(lost_);
    end_overdue_requests();
    if (scheduler_.has_work()) step();
    if (!scheduler_.has_work()) update_metrics();  // nobody else would tell that all is over
  }
  while (!requests_.empty()) finish(*requests_.begin()->second, FinishReason::cancelled);
}

void EngineLoop::step() {
  const std::vector<ScheduledSequence>& step = scheduler_.schedule(pace_.prompt_tokens());
  now_ = Clock::now();
  for (const auto& scheduled : step) metrics_.note_admission(*requests_.at(scheduled.sequence->arrival), now_);
  update_metrics();

  const Result<StepOutput> output = program_->run(step_builder_.build(step));
  if (!output && output.error().code == ErrorCode::device_lost && parts_.rebuild) {
    return replace_program(output.error());
  }

  const TimePoint begin = std::exchange(now_, Clock::now());
  if (output) pace_.note(prompt_tokens(step), std::chrono::duration<double>(now_ - begin).count());
  size_t at = 0;
  for (const ScheduledSequence& scheduled : step) {
    if (!output) {
      finish(*requests_.at(scheduled.sequence->arrival), FinishReason::failed, output.error());
      continue;
    }
    const size_t size = size_t{scheduled.logit_count} * parts_.vocabulary;
    postprocess(scheduled, output->logits.subspan(at, size));
    at += size;
  }
}

void EngineLoop::fail_all(const Error& error) {
  while (!requests_.empty()) finish(*requests_.begin()->second, FinishReason::failed, error);
}

/// What the lost device knew is gone: the requests' K and V, and the prefixes that the cache remembers.
void EngineLoop::replace_program(const Error& lost) {
  fail_all(lost);
  program_.reset();
  cache_ = KvCache(parts_.cache_groups, parts_.plan.blocks_per_group);
  update_metrics();
  auto rebuilt = parts_.rebuild(parts_.plan.blocks_per_group, program_limits(parts_.options), stop_);
  if (rebuilt) {
    program_ = std::move(*rebuilt);
  } else {
    lost_ = std::move(rebuilt.error());
  }
}

void EngineLoop::postprocess(const ScheduledSequence& scheduled, std::span<const float> logits) {
  ActiveRequest& active = *requests_.at(scheduled.sequence->arrival);
  scheduler_.commit(scheduled);
  const uint32_t size = active.sequence.size();
  uint32_t position = active.sequence.computed - scheduled.logit_count;
  for (; !logits.empty(); logits = logits.subspan(parts_.vocabulary)) {
    const auto row = logits.first(parts_.vocabulary);
    if (++position < size) {
      add_prompt_logprobs(active, position, row);
    } else {
      append_token(active, row);  // the last row, after which the request may be gone
    }
  }
}

void EngineLoop::add_prompt_logprobs(ActiveRequest& active, uint32_t position, std::span<const float> logits) {
  const int32_t token = active.sequence.tokens[position];
  active.prompt_logprobs.push_back(sampler_.logprobs(logits, token, *active.request.logprobs));
}

void EngineLoop::append_token(ActiveRequest& active, std::span<const float> logits) {
  const bool may_end = active.generated() >= active.request.min_tokens;
  const auto banned = may_end ? std::span<const int32_t>() : active.end_tokens;
  Result<int32_t> token = sampler_.sample(active.sampling, logits, banned);
  if (!token) return finish(active, FinishReason::failed, std::move(token.error()));

  const auto alternatives = active.request.logprobs;
  if (alternatives) event_.logprobs.push_back(sampler_.logprobs(logits, *token, *alternatives));
  event_.prompt_logprobs.swap(active.prompt_logprobs);
  metrics_.note_token(active, now_);
  if (const auto reason = push_token(active, *token)) return finish(active, *reason);
  deliver(active);
}

std::optional<FinishReason> EngineLoop::push_token(ActiveRequest& active, int32_t token) {
  event_.tokens.push_back(token);
  active.sequence.tokens.push_back(token);
  active.sampling.record(token);
  if (std::ranges::find(active.end_tokens, token) != active.end_tokens.end()) return FinishReason::stop;
  const bool stops_count = active.generated() >= active.request.min_tokens;
  event_.stop_string = active.text.push(token, stops_count, event_.text);
  if (event_.stop_string) return FinishReason::stop;
  if (active.sequence.size() >= active.max_size) return FinishReason::length;
  return std::nullopt;
}

void EngineLoop::deliver(ActiveRequest& active) {
  event_.usage = active.usage();
  active.on_event(event_);
  event_.text.clear();
  event_.tokens.clear();
  event_.logprobs.clear();
  event_.prompt_logprobs.clear();
  event_.finish_reason.reset();
  event_.stop_string.reset();
  event_.error.reset();
}

void EngineLoop::finish(ActiveRequest& active, FinishReason reason, std::optional<Error> error) {
  scheduler_.remove(active.sequence);
  if (!event_.stop_string) event_.stop_string = active.text.flush(event_.text);
  event_.finish_reason = event_.stop_string && !error ? FinishReason::stop : reason;
  event_.error = std::move(error);
  metrics_.note_end(active, *event_.finish_reason, Clock::now());
  deliver(active);
  requests_.erase(active.sequence.arrival);
  inbox_.note_end();
}

void EngineLoop::end_overdue_requests() {
  now_ = Clock::now();
  for (auto next = requests_.begin(); next != requests_.end();) {
    ActiveRequest& active = *(next++)->second;  // finish erases it
    if (active.request.deadline && *active.request.deadline <= now_) {
      finish(active, FinishReason::failed, Error{ErrorCode::timed_out, "the request's time is over"});
    }
  }
}

}  // namespace hearth
