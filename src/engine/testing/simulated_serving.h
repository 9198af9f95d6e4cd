#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "engine/scheduler.h"
#include "engine/step_cost.h"
#include "engine/step_size.h"

namespace hearth {

/// What a client felt of a request, in seconds of simulated time.
struct SimulatedAnswer {
  double submitted = 0;
  std::vector<double> token_times;

  double first_token() const { return token_times.front() - submitted; }
  double whole() const { return token_times.back() - submitted; }
};

/// Scheduler, step cost and step size, as the engine puts them together, on a device that is a function of a step's
/// load: what users feel on hardware that is not here, in no time.
class SimulatedServing {
 public:
  using StepSeconds = std::function<double(const StepLoad&)>;

  SimulatedServing(StepSeconds device, const SchedulerLimits& limits, double target_seconds)
      : device_(std::move(device)),
        cache_(std::vector{CacheGroup{.window = 0}}, std::vector<uint32_t>{20000}),
        cost_(limits.max_batched_tokens),
        size_(limits.max_batched_tokens, target_seconds),
        scheduler_(limits, cache_, {1, 2}) {}

  /// The device says what its steps will take.
  void expect() {
    std::vector<double> seconds;
    for (const uint32_t size : cost_.sizes()) seconds.push_back(device_({.tokens = size}));
    cost_.expect(seconds);
  }

  /// A request that comes now. Its prompt is like no other.
  SimulatedAnswer& submit(uint32_t prompt_tokens, uint32_t answer_tokens, const User& user = {}) {
    auto request = std::make_unique<Request>();
    request->sequence.arrival = ++arrivals_;
    request->sequence.tokens.assign(prompt_tokens, static_cast<int32_t>(arrivals_));
    request->sequence.prompt_tokens = prompt_tokens;
    request->sequence.root = root_hash({1, 2}, std::to_string(arrivals_));
    request->max_size = prompt_tokens + answer_tokens;
    request->answer.submitted = now_;
    scheduler_.add(request->sequence, user);
    SimulatedAnswer& answer = request->answer;
    requests_.emplace(arrivals_, std::move(request));
    return answer;
  }

  /// One step; its seconds.
  double step() {
    const auto step = scheduler_.schedule([&](const StepOutlook& ahead) { return size_.prompt_tokens(cost_, ahead); });
    const StepLoad load = load_of(step);
    const double seconds = device_(load);
    now_ += seconds;
    ++steps_;
    cost_.note(load, seconds);
    scheduler_.settle(step, seconds, cost_);
    for (const ScheduledSequence& scheduled : step) {
      Request& request = *requests_.at(scheduled.sequence->arrival);
      scheduler_.commit(scheduled);
      if (request.sequence.remaining() > 0) continue;
      request.sequence.tokens.push_back(0);
      request.answer.token_times.push_back(now_);
      if (request.sequence.size() < request.max_size) continue;
      scheduler_.remove(request.sequence);
    }
    return seconds;
  }

  void run() {
    while (scheduler_.has_work()) step();
  }
  void run_until_tokens(const SimulatedAnswer& answer, size_t tokens) {
    while (answer.token_times.size() < tokens) step();
  }

  double now() const { return now_; }
  uint64_t steps() const { return steps_; }

 private:
  struct Request {
    Sequence sequence;
    uint32_t max_size = 0;
    SimulatedAnswer answer;
  };

  StepSeconds device_;
  KvCache cache_;
  StepCost cost_;
  StepSize size_;
  Scheduler scheduler_;
  std::map<uint64_t, std::unique_ptr<Request>> requests_;
  uint64_t arrivals_ = 0, steps_ = 0;
  double now_ = 0;
};

}  // namespace hearth
