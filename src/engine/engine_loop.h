#pragma once

#include <atomic>
#include <chrono>
#include <deque>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <thread>
#include <unordered_map>
#include <vector>

#include "device/device.h"
#include "engine/active_request.h"
#include "engine/cache/cache_plan.h"
#include "engine/cache/kv_cache.h"
#include "engine/cache/memory_watch.h"
#include "engine/engine.h"
#include "engine/inbox.h"
#include "engine/metrics_recorder.h"
#include "engine/sampling/sampler.h"
#include "engine/scheduler.h"
#include "engine/step_builder.h"
#include "engine/step_cost.h"
#include "engine/step_size.h"

namespace hearth {

/// A program with a cache of `blocks_per_group`, made when the one before is gone.
using MakeProgram = std::function<Result<std::unique_ptr<Program>>(
    const std::vector<uint32_t>& blocks_per_group, const ProgramLimits& limits, const std::stop_token& stop)>;

/// What an engine needs of a model, its device and its text layer.
struct EngineParts {
  std::unique_ptr<Program> program;  ///< compiled for at least program_limits(options)
  std::vector<CacheGroup> cache_groups;
  CachePlan plan;
  EngineOptions options;  ///< nothing is 0
  uint32_t vocabulary = 0;
  std::vector<int32_t> end_tokens;
  const Tokenizer* tokenizer = nullptr;                ///< may be null
  MakeProgram rebuild;                                 ///< on a device opened again; may be empty
  MakeProgram resize;                                  ///< on the same device; may be empty
  std::function<std::vector<CacheMemory>()> memories;  ///< as they are now; empty where nobody watches them
  DraftTokens draft;                                   ///< may be empty
  std::chrono::milliseconds watch_interval{1000};      ///< between looks at the memories
  /// So long nothing must have been to do before the program is tuned, so that whoever asks one thing after the other
  /// is not kept waiting between them; twice as long after each interruption, up to a limit.
  std::chrono::milliseconds idle_before_tuning{100};
};

/// The largest step that an engine makes.
ProgramLimits program_limits(const EngineOptions& options);

/// The engine: one thread that owns scheduler, cache, sampler and all requests. Other threads leave submits and cancels
/// in an inbox, which it empties before each step, and read the metrics.
///
/// While the device works on a step, the thread hands out the events of the step before. Where the program runs ahead
/// and all that runs is greedy decoding, the next step is submitted before the tokens of the one in flight are known,
/// which the device passes on by itself. If a request turns out to have ended, its row of the next step is dropped.
/// Where tokens are drafted, steps wait for what the drafts are to follow.
///
/// When there is nothing to do, the program is tuned until something comes.
///
/// About each second it looks at the memories of the cache, and makes another cache where MemoryWatch says so.
class EngineLoop final : public Engine {
 public:
  explicit EngineLoop(EngineParts parts);

  Result<RequestHandle> submit(Request request, EventCallback on_event) override;
  void cancel(RequestHandle handle) override { inbox_.cancel(handle); }
  bool drain(std::chrono::milliseconds timeout) override { return inbox_.drain(timeout); }
  uint32_t context_length() const override { return context_length_; }
  const EngineOptions& options() const override { return parts_.options; }
  EngineMetrics metrics() const override;

  /// Whether every block is free and accounted for. To be called only while no request is there. Errors: internal.
  Result<void> check_integrity() const;

 private:
  using TimePoint = std::chrono::steady_clock::time_point;

  /// A step that the program was given and whose results were not taken yet.
  struct StepInFlight {
    std::vector<ScheduledSequence> sequences;  ///< null pointers where a request has ended meanwhile
    TimePoint submitted_at;
    Result<void> submitted;
  };

  /// An event that was not handed out yet. Requests that have ended live until their last one was.
  struct Delivery {
    ActiveRequest* request = nullptr;
    RequestEvent event;
    std::unique_ptr<ActiveRequest> ended;
  };

  /// What a step gave for the rows of one sequence whose logits it wanted: whole rows, or the best of each.
  struct RowResults {
    std::span<const float> logits;
    std::span<const TokenLogit> candidates;
  };

  void run(const std::stop_token& stop);
  bool take_commands(const std::stop_token& stop);
  void end_overdue_requests();
  void step();
  void draft_tokens();
  void submit_step(const std::vector<ScheduledSequence>& step);
  bool may_run_ahead() const;
  void take_results();
  void replace_program(const Error& lost, CachePlan plan);
  void send_back_requests(const Error& lost);
  void set_plan(CachePlan plan);
  void hold_to_context(ActiveRequest& active);
  std::optional<CachePlan> smaller_plan() const;
  void wait_for_commands();
  void watch_memory();
  void follow(const MemoryWatch::Advice& advice, std::span<const CacheMemory> memories);
  bool go_on_with_less(const Error& error);
  void resize_cache(CachePlan plan);
  void make_program();
  void fail_all(const Error& error);
  void come_to_rest();
  void tune_while_idle();
  void postprocess(const ScheduledSequence& scheduled, RowResults results);
  void add_prompt_logprobs(ActiveRequest& active, uint32_t position, std::span<const float> logits);
  std::optional<FinishReason> append_tokens(ActiveRequest& active, const StepRows& rows, RowResults results,
                                            RequestEvent& event);
  std::optional<FinishReason> push_token(ActiveRequest& active, int32_t token, RequestEvent& event);
  void finish(ActiveRequest& active, FinishReason reason, RequestEvent event = {});
  void fail_request(ActiveRequest& active, const Error& error);
  void deliver_events();
  void update_metrics();

  Result<void> check(const Request& request) const;

  std::unique_ptr<Program> program_;  ///< of the engine's thread; null after a device was lost for good
  const EngineParts parts_;           ///< without the program
  CachePlan plan_ = parts_.plan;      ///< of the cache that there is; of the engine's thread
  std::atomic<uint32_t> context_length_ = plan_.context_length;
  const HashKey hash_key_ = random_hash_key();
  Inbox inbox_;
  MetricsRecorder metrics_;

  // Of the engine's thread alone.
  KvCache cache_;
  Scheduler scheduler_;
  StepCost step_cost_;
  const StepSize step_size_;
  StepBuilder step_builder_;
  Sampler sampler_;
  std::unordered_map<RequestHandle, std::unique_ptr<ActiveRequest>> requests_;
  Inbox::Commands commands_;
  std::deque<StepInFlight> in_flight_;  ///< oldest first, two at most
  std::vector<Delivery> deliveries_;
  TimePoint now_;  ///< when the last step ended
  std::stop_token stop_;
  Error lost_;  ///< why there is no program
  bool may_tune_ = true;
  std::chrono::milliseconds idle_before_tuning_;
  int lost_in_tuning_ = 0;           ///< devices
  bool lost_before_a_step_ = false;  ///< the device, and no step has ended since
  std::optional<MemoryWatch> watch_;
  TimePoint next_look_;
  bool has_told_of_scarcity_ = false;  ///< which nothing could be done about
  uint64_t cache_resizes_ = 0;

  std::jthread thread_;  ///< last: it uses all of the above
};

}  // namespace hearth
