#include "engine/metrics_recorder.h"

namespace hearth {
namespace {

double seconds(std::chrono::steady_clock::duration duration) { return std::chrono::duration<double>(duration).count(); }

}  // namespace

void MetricsRecorder::update(State state) {
  const std::lock_guard lock(mutex_);
  metrics_.requests_running = state.requests_running;
  metrics_.kv_blocks_total = state.kv_blocks_total;
  metrics_.kv_blocks_used = state.kv_blocks_used;
  metrics_.preemptions = state.preemptions;
  metrics_.cache_resizes = state.cache_resizes;
  metrics_.prefix_cache_queries = state.prefix_cache_queries;
  metrics_.prefix_cache_hits = state.prefix_cache_hits;
  metrics_.queue_seconds = state.queue_seconds;
  metrics_.buffer_pools = std::move(state.buffer_pools);
  metrics_.memory_use = std::move(state.memory_use);
}

void MetricsRecorder::note_admission(ActiveRequest& active, TimePoint now) {
  if (active.admitted) return;  // resumed after a preemption
  active.admitted = now;
  const std::lock_guard lock(mutex_);
  metrics_.request_queue_time_seconds.observe(seconds(now - active.submitted));
}

void MetricsRecorder::note_token(ActiveRequest& active, TimePoint now) {
  const std::lock_guard lock(mutex_);
  ++metrics_.generation_tokens;
  const std::string& name = active.request.user.name;
  UserTokens* user = name.empty() ? nullptr : &metrics_.users[name];
  if (user != nullptr) ++user->generation_tokens;
  if (!active.first_token) {
    active.first_token = now;
    metrics_.prompt_tokens += active.sequence.prompt_tokens;
    if (user != nullptr) user->prompt_tokens += active.sequence.prompt_tokens;
    metrics_.time_to_first_token_seconds.observe(seconds(now - active.submitted));
    metrics_.request_prefill_time_seconds.observe(seconds(now - *active.admitted));
  } else {
    metrics_.inter_token_latency_seconds.observe(seconds(now - active.last_token));
  }
  active.last_token = now;
}

void MetricsRecorder::note_end(const ActiveRequest& active, FinishReason reason, TimePoint now) {
  const std::lock_guard lock(mutex_);
  ++metrics_.finished[static_cast<size_t>(reason)];
  metrics_.e2e_request_latency_seconds.observe(seconds(now - active.submitted));
  if (active.admitted) metrics_.request_inference_time_seconds.observe(seconds(now - *active.admitted));
  if (active.first_token) metrics_.request_decode_time_seconds.observe(seconds(now - *active.first_token));
}

EngineMetrics MetricsRecorder::snapshot() const {
  const std::lock_guard lock(mutex_);
  return metrics_;
}

}  // namespace hearth
