#pragma once

#include <memory>
#include <span>
#include <thread>
#include <unordered_map>
#include <vector>

#include "device/device.h"
#include "engine/active_request.h"
#include "engine/cache_plan.h"
#include "engine/engine.h"
#include "engine/inbox.h"
#include "engine/kv_cache.h"
#include "engine/metrics_recorder.h"
#include "engine/sampler.h"
#include "engine/scheduler.h"
#include "engine/step_builder.h"
#include "engine/step_pace.h"

namespace hearth {

/// What an engine needs of a model, its device and its text layer.
struct EngineParts {
  std::unique_ptr<Program> program;  ///< compiled for at least program_limits(options)
  std::vector<CacheGroup> cache_groups;
  CachePlan plan;
  EngineOptions options;  ///< nothing is 0
  uint32_t vocabulary = 0;
  std::vector<int32_t> end_tokens;
  const Tokenizer* tokenizer = nullptr;  ///< may be null
  RebuildProgram rebuild;                ///< may be empty
};

/// The largest step that an engine makes.
ProgramLimits program_limits(const EngineOptions& options);

/// The engine: one thread that owns scheduler, cache, sampler and all requests. Other threads leave submits and cancels
/// in an inbox, which it empties before each step, and read the metrics.
class EngineLoop final : public Engine {
 public:
  explicit EngineLoop(EngineParts parts);

  Result<RequestHandle> submit(Request request, EventCallback on_event) override;
  void cancel(RequestHandle handle) override { inbox_.cancel(handle); }
  bool drain(std::chrono::milliseconds timeout) override { return inbox_.drain(timeout); }
  uint32_t context_length() const override { return parts_.plan.context_length; }
  const EngineOptions& options() const override { return parts_.options; }
  EngineMetrics metrics() const override;

  /// Whether every block is free and accounted for. To be called only while no request is there. Errors: internal.
  Result<void> check_integrity() const;

 private:
  using TimePoint = std::chrono::steady_clock::time_point;

  void run(const std::stop_token& stop);
  bool take_commands(const std::stop_token& stop);
  void end_overdue_requests();
  void step();
  void replace_program(const Error& lost);
  void fail_all(const Error& error);
  void postprocess(const ScheduledSequence& scheduled, std::span<const float> logits);
  void add_prompt_logprobs(ActiveRequest& active, uint32_t position, std::span<const float> logits);
  void append_token(ActiveRequest& active, std::span<const float> logits);
  std::optional<FinishReason> push_token(ActiveRequest& active, int32_t token);
  void deliver(ActiveRequest& active);
  void finish(ActiveRequest& active, FinishReason reason, std::optional<Error> error = std::nullopt);
  void update_metrics();

  Result<void> check(const Request& request) const;

  std::unique_ptr<Program> program_;  ///< of the engine's thread; null after a device was lost for good
  const EngineParts parts_;           ///< without the program
  const HashKey hash_key_ = random_hash_key();
  Inbox inbox_;
  MetricsRecorder metrics_;

  // Of the engine's thread alone.
  KvCache cache_;
  Scheduler scheduler_;
  StepPace pace_;
  StepBuilder step_builder_;
  Sampler sampler_;
  std::unordered_map<RequestHandle, std::unique_ptr<ActiveRequest>> requests_;
  Inbox::Commands commands_;
  RequestEvent event_;  ///< the one being made, empty in between; kept for its memory
  TimePoint now_;       ///< when the last step ended
  std::stop_token stop_;
  Error lost_;  ///< why there is no program

  std::jthread thread_;  ///< last: it uses all of the above
};

}  // namespace hearth
