#include "engine/engine_loop.h"

#include <algorithm>
#include <utility>

#include "device/step.h"

namespace hearth {
namespace {

using Clock = std::chrono::steady_clock;

/// Rows of a step whose logits may be wanted, beside one for each sequence: of drafts, and of prompts with logprobs.
constexpr uint32_t kMoreLogitRows = 64;

/// Tuning that loses a second device may be what takes them away.
constexpr int kMostLostInTuning = 2;

/// Times EngineParts::idle_before_tuning. A tuning that begins in pauses too short to get on only heats the device.
constexpr int kLongestIdleBeforeTuning = 64;

SchedulerLimits scheduler_limits(const EngineOptions& options) {
  return {.max_sequences = options.max_sequences,
          .max_batched_tokens = options.max_batched_tokens,
          .more_logit_rows = kMoreLogitRows,
          .prefix_cache = options.prefix_cache};
}

/// Splits the first `count` values off.
template <class T>
std::span<const T> take_first(std::span<const T>& left, size_t count) {
  const auto first = left.first(count);
  left = left.subspan(count);
  return first;
}

}  // namespace

ProgramLimits program_limits(const EngineOptions& options) {
  return {.tokens = options.max_batched_tokens,
          .logit_rows = options.max_sequences + kMoreLogitRows,
          .sequences = options.max_sequences};
}

EngineLoop::EngineLoop(EngineParts parts)
    : program_(std::move(parts.program)),
      parts_(std::move(parts)),
      inbox_(parts_.options.max_sequences, parts_.options.max_waiting),
      cache_(parts_.cache_groups, parts_.plan.blocks_per_group),
      scheduler_(scheduler_limits(parts_.options), cache_, hash_key_),
      step_cost_(parts_.options.max_batched_tokens),
      step_size_(parts_.options.max_batched_tokens, parts_.options.inter_token_target_ms / 1e3),
      idle_before_tuning_(parts_.idle_before_tuning) {
  step_cost_.expect(program_->expected_seconds(step_cost_.sizes()));
  if (parts_.memories) watch_.emplace(parts_.memories(), plan_.blocks_per_group, parts_.watch_interval);
  update_metrics();
  thread_ = std::jthread([this](const std::stop_token& stop) { run(stop); });
}

void EngineLoop::run(const std::stop_token& stop) {
  stop_ = stop;
  tune_while_idle();
  while (take_commands(stop)) {
    watch_memory();
    if (program_ == nullptr) fail_all(lost_);
    end_overdue_requests();
    if (scheduler_.has_work()) step();
    if (scheduler_.has_work()) continue;
    come_to_rest();
    tune_while_idle();
  }
  while (!requests_.empty()) finish(*requests_.begin()->second, FinishReason::cancelled);
  come_to_rest();
}

void EngineLoop::step() {
  if (in_flight_.empty()) {
    draft_tokens();
    submit_step(
        scheduler_.schedule([this](const StepOutlook& ahead) { return step_size_.prompt_tokens(step_cost_, ahead); }));
  }
  if (may_run_ahead()) submit_step(scheduler_.schedule_ahead(in_flight_.front().sequences));
  deliver_events();
  update_metrics();
  take_results();
}

void EngineLoop::draft_tokens() {
  if (!parts_.draft) return;
  for (const auto& [handle, active] : requests_) {
    Sequence& sequence = active->sequence;
    if (!sequence.is_decoding) continue;
    // When all are right, one more token follows.
    const uint32_t most = active->max_size - sequence.size() - 1;
    sequence.drafts = most > 0 ? parts_.draft(sequence.tokens, most) : std::vector<int32_t>();
    sequence.drafts.resize(std::min<size_t>(sequence.drafts.size(), most));
  }
}

void EngineLoop::submit_step(const std::vector<ScheduledSequence>& step) {
  if (step.empty()) return;
  const TimePoint now = Clock::now();
  for (const auto& scheduled : step) metrics_.note_admission(*requests_.at(scheduled.sequence->arrival), now);
  in_flight_.push_back({step, now, program_->submit(step_builder_.build(step))});
}

bool EngineLoop::may_run_ahead() const {
  if (parts_.draft || !program_->runs_ahead() || in_flight_.size() != 1 || !in_flight_.front().submitted) return false;
  return std::ranges::all_of(in_flight_.front().sequences, [&](const ScheduledSequence& scheduled) {
    if (scheduled.sequence == nullptr) return true;
    return scheduled.candidates == 1 && requests_.at(scheduled.sequence->arrival)->goes_on_after_next();
  });
}

void EngineLoop::take_results() {
  const StepInFlight step = std::move(in_flight_.front());
  in_flight_.pop_front();
  const Result<StepOutput> output = step.submitted ? program_->wait() : std::unexpected(step.submitted.error());
  if (!output && output.error().code == ErrorCode::device_lost && parts_.rebuild) {
    // Some drivers lose a device for want of memory that they had given out.
    const bool again = std::exchange(lost_before_a_step_, true);
    return replace_program(output.error(), again ? smaller_plan().value_or(plan_) : plan_);
  }
  if (!output && output.error().code == ErrorCode::out_of_memory && go_on_with_less(output.error())) return;
  if (output) lost_before_a_step_ = false;

  // A step that was submitted ahead began when the one before it ended.
  const TimePoint begin = std::max(step.submitted_at, std::exchange(now_, Clock::now()));
  if (output && !output->waited_for_weights) {
    const double seconds = std::chrono::duration<double>(now_ - begin).count();
    step_cost_.note(load_of(step.sequences), seconds);
    scheduler_.settle(step.sequences, seconds, step_cost_);
  }
  StepOutput left = output ? *output : StepOutput{};
  for (const ScheduledSequence& scheduled : step.sequences) {
    if (!output) {
      if (scheduled.sequence != nullptr) fail_request(*requests_.at(scheduled.sequence->arrival), output.error());
    } else if (scheduled.candidates > 0) {
      const size_t count = size_t{scheduled.logit_count} * scheduled.candidates;
      postprocess(scheduled, {.candidates = take_first(left.candidates, count)});
    } else {
      const size_t count = size_t{scheduled.logit_count} * parts_.vocabulary;
      postprocess(scheduled, {.logits = take_first(left.logits, count)});
    }
  }
}

void EngineLoop::fail_all(const Error& error) {
  while (!requests_.empty()) fail_request(*requests_.begin()->second, error);
}

/// What the lost device knew is gone: the requests' K and V, and the prefixes that the cache remembers. Requests are
/// computed again from their tokens.
void EngineLoop::replace_program(const Error& lost, CachePlan plan) {
  in_flight_.clear();
  send_back_requests(lost);
  deliver_events();
  program_.reset();
  set_plan(std::move(plan));
  update_metrics();
  auto rebuilt = parts_.rebuild(plan_.blocks_per_group, program_limits(parts_.options), stop_);
  if (rebuilt) {
    program_ = std::move(*rebuilt);
    may_tune_ = lost_in_tuning_ < kMostLostInTuning;
  } else {
    lost_ = std::move(rebuilt.error());
  }
}

/// A request that loses a second device may be what takes them away, so it fails.
void EngineLoop::send_back_requests(const Error& lost) {
  for (Sequence* sequence : scheduler_.forget_computed()) {
    ActiveRequest& active = *requests_.at(sequence->arrival);
    if (std::exchange(active.lost_a_device, true)) fail_request(active, lost);
  }
}

/// Nothing runs or waits any more: the last events go out, and steps in flight are rows of requests that have ended.
void EngineLoop::come_to_rest() {
  deliver_events();
  while (!in_flight_.empty()) take_results();
  update_metrics();
}

/// Until something comes in.
void EngineLoop::tune_while_idle() {
  const auto is_interrupted = [this] { return inbox_.wait_for(stop_, std::chrono::milliseconds(0)); };
  while (program_ != nullptr && may_tune_ && !inbox_.wait_for(stop_, idle_before_tuning_)) {
    const auto left = program_->tune(is_interrupted);
    if (left && *left) {
      const auto longest = kLongestIdleBeforeTuning * parts_.idle_before_tuning;
      if (is_interrupted()) idle_before_tuning_ = std::min(2 * idle_before_tuning_, longest);
      continue;
    }
    may_tune_ = false;
    if (left) step_cost_.expect(program_->expected_seconds(step_cost_.sizes()));
    if (left || left.error().code != ErrorCode::device_lost || !parts_.rebuild) continue;
    ++lost_in_tuning_;
    replace_program(left.error(), plan_);
  }
}

void EngineLoop::postprocess(const ScheduledSequence& scheduled, RowResults results) {
  if (scheduled.sequence == nullptr) return;
  ActiveRequest& active = *requests_.at(scheduled.sequence->arrival);
  const StepRows& rows = scheduled.rows;
  uint32_t position = scheduled.context_tokens + rows.count() - scheduled.logit_count;
  for (uint32_t row = rows.choices(); row < scheduled.logit_count; ++row) {
    add_prompt_logprobs(active, ++position, take_first(results.logits, parts_.vocabulary));
  }
  RequestEvent event;
  const auto ended = append_tokens(active, rows, results, event);
  scheduler_.commit(scheduled);
  if (ended) return finish(active, *ended, std::move(event));
  if (rows.choices() == 0) return;
  active.choose_candidates();
  event.usage = active.usage();
  deliveries_.push_back({.request = &active, .event = std::move(event)});
}

void EngineLoop::add_prompt_logprobs(ActiveRequest& active, uint32_t position, std::span<const float> logits) {
  const int32_t token = active.sequence.tokens[position];
  active.prompt_logprobs.push_back(sampler_.logprobs(logits, token, *active.request.logprobs));
}

/// A token for each row of choices, as long as the next row's draft is what was chosen.
std::optional<FinishReason> EngineLoop::append_tokens(ActiveRequest& active, const StepRows& rows, RowResults results,
                                                      RequestEvent& event) {
  if (rows.choices() > 0) event.prompt_logprobs.swap(active.prompt_logprobs);
  const size_t candidates = results.candidates.size() / std::max(rows.choices(), 1U);
  for (uint32_t row = 0; row < rows.choices(); ++row) {
    const auto logits = take_first(results.logits, results.logits.empty() ? 0 : parts_.vocabulary);
    const auto best = take_first(results.candidates, candidates);
    const Result<int32_t> chosen = candidates > 0 ? sampler_.sample(active.sampling, best, active.banned())
                                                  : sampler_.sample(active.sampling, logits, active.banned());
    if (!chosen) {
      event.error = chosen.error();
      return FinishReason::failed;
    }
    const auto alternatives = active.request.logprobs;
    if (alternatives) event.logprobs.push_back(sampler_.logprobs(logits, *chosen, *alternatives));
    metrics_.note_token(active, now_);
    if (const auto ended = push_token(active, *chosen, event)) return ended;
    if (row < rows.verify && active.sequence.drafts[row] != *chosen) break;
  }
  return std::nullopt;
}

std::optional<FinishReason> EngineLoop::push_token(ActiveRequest& active, int32_t token, RequestEvent& event) {
  event.tokens.push_back(token);
  active.sequence.tokens.push_back(token);
  active.sampling.record(token);
  if (std::ranges::find(active.end_tokens, token) != active.end_tokens.end()) return FinishReason::stop;
  const bool stops_count = active.generated() >= active.request.min_tokens;
  event.stop_string = active.text.push(token, stops_count, event.text);
  if (event.stop_string) return FinishReason::stop;
  if (active.sequence.size() >= active.max_size) return FinishReason::length;
  return std::nullopt;
}

void EngineLoop::finish(ActiveRequest& active, FinishReason reason, RequestEvent event) {
  scheduler_.remove(active.sequence);
  for (StepInFlight& step : in_flight_) {
    const auto row = std::ranges::find(step.sequences, &active.sequence, &ScheduledSequence::sequence);
    if (row != step.sequences.end()) row->sequence = nullptr;
  }
  if (!event.stop_string) event.stop_string = active.text.flush(event.text);
  event.finish_reason = event.stop_string && !event.error ? FinishReason::stop : reason;
  event.usage = active.usage();
  metrics_.note_end(active, *event.finish_reason, Clock::now());
  auto request = requests_.extract(active.sequence.arrival);
  deliveries_.push_back({.request = &active, .event = std::move(event), .ended = std::move(request.mapped())});
}

void EngineLoop::fail_request(ActiveRequest& active, const Error& error) {
  finish(active, FinishReason::failed, {.error = error});
}

void EngineLoop::deliver_events() {
  for (Delivery& delivery : deliveries_) {
    delivery.request->on_event(delivery.event);
    if (!delivery.ended) continue;
    const std::string user_id = std::move(delivery.ended->request.user.id);
    delivery.ended.reset();
    inbox_.note_end(user_id);
  }
  deliveries_.clear();
}

void EngineLoop::end_overdue_requests() {
  now_ = Clock::now();
  for (auto next = requests_.begin(); next != requests_.end();) {
    ActiveRequest& active = *(next++)->second;  // finish erases it
    if (active.request.deadline && *active.request.deadline <= now_) {
      fail_request(active, Error{ErrorCode::timed_out, "the request's time is over"});
    }
  }
}

}  // namespace hearth
