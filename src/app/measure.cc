#include "app/measure.h"

#include <algorithm>
#include <chrono>
#include <condition_variable>
#include <mutex>
#include <random>
#include <utility>

namespace hearth::app {
namespace {

using Clock = std::chrono::steady_clock;

double seconds_between(Clock::time_point from, Clock::time_point to) {
  return std::chrono::duration<double>(to - from).count();
}

/// When each token of each request came. The engine's thread writes, the measuring thread waits.
class Arrivals {
 public:
  explicit Arrivals(size_t requests) : times_(requests) {}

  Engine::EventCallback callback(size_t request) {
    return [this, request](const RequestEvent& event) {
      const Clock::time_point now = Clock::now();
      std::lock_guard lock(mutex_);
      times_[request].insert(times_[request].end(), event.tokens.size(), now);
      if (!event.finish_reason) return;
      if (event.error) error_ = event.error;
      ++finished_;
      changed_.notify_all();
    };
  }

  /// One request that was refused will not come.
  void leave_out() {
    std::lock_guard lock(mutex_);
    ++finished_;
    changed_.notify_all();
  }

  Result<void> wait() {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [&] { return finished_ == times_.size(); });
    if (error_) return std::unexpected(*error_);
    const bool silent = std::ranges::any_of(times_, [](const auto& times) { return times.empty(); });
    if (silent) return fail(ErrorCode::internal, "a request ended without a token");
    return {};
  }

  /// Once wait() has returned.
  const std::vector<std::vector<Clock::time_point>>& times() const { return times_; }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  std::vector<std::vector<Clock::time_point>> times_;
  size_t finished_ = 0;
  std::optional<Error> error_;
};

/// All requests at once, and waits until the last one has ended.
Result<void> run_side_by_side(Engine& engine, std::vector<Request> requests, Arrivals& arrivals) {
  std::optional<Error> refused;
  const auto send = [&](size_t i, Engine::EventCallback on_event) {
    auto sent = engine.submit(std::move(requests[i]), std::move(on_event));
    if (sent) return true;
    refused = sent.error();
    arrivals.leave_out();
    return false;
  };
  // The others come with the first one's first token, on the engine's thread and so between two steps: sent from here,
  // the first of them could end before a slow thread has sent the last.
  const bool is_sent = send(0, [&, note = arrivals.callback(0), first = true](const RequestEvent& event) mutable {
    if (std::exchange(first, false)) {
      for (size_t i = 1; i < requests.size(); ++i) send(i, arrivals.callback(i));
    }
    note(event);
  });
  // From here on `refused` is the engine's thread's, until all have ended.
  if (!is_sent) return std::unexpected(*refused);
  // What was accepted must end before an error goes up: callbacks point into `arrivals`.
  auto done = arrivals.wait();
  if (refused) return std::unexpected(*refused);
  return done;
}

}  // namespace

uint32_t tokens_side_by_side(uint32_t sequences, uint32_t context, uint32_t tokens, const EngineOptions& options) {
  const uint32_t prompt_tokens = std::max(context, 1U);
  // Beside answers a step takes half of its tokens of prompts at least, as no target limits it.
  const uint32_t prompt_steps = sequences * prompt_tokens / (options.max_batched_tokens / 2) + 2;
  return prompt_tokens + tokens + prompt_steps;
}

uint64_t cache_bytes_side_by_side(std::span<const CacheGroup> groups, uint32_t context_length, uint32_t sequences,
                                  uint32_t tokens_each) {
  const auto blocks_of = [](uint64_t tokens) { return tokens / kBlockTokens + 2; };
  const uint64_t blocks = blocks_of(context_length) + sequences * blocks_of(tokens_each);
  uint64_t bytes = 0;
  for (const CacheGroup& group : groups) bytes += blocks * group.bytes_per_block;
  return bytes;
}

Request EngineMeter::random_request(uint32_t prompt_tokens, uint32_t max_tokens) {
  std::mt19937 random(++requests_);
  std::uniform_int_distribution<int32_t> id(0, static_cast<int32_t>(vocabulary_) - 1);
  Request request;
  request.id = "bench-" + std::to_string(requests_);
  request.prompt.resize(prompt_tokens);
  std::ranges::generate(request.prompt, [&] { return id(random); });
  request.sampling.temperature = 0;
  request.max_tokens = max_tokens;
  request.ignore_end_tokens = true;
  return request;
}

Result<PromptMeasurement> EngineMeter::prompt(uint32_t tokens) {
  Arrivals arrivals(1);
  const Clock::time_point start = Clock::now();
  if (auto sent = engine_.submit(random_request(tokens, 1), arrivals.callback(0)); !sent) return pass_on(sent);
  if (auto done = arrivals.wait(); !done) return pass_on(done);
  return PromptMeasurement{seconds_between(start, arrivals.times()[0].front())};
}

Result<DecodeMeasurement> EngineMeter::decode(uint32_t sequences, uint32_t context, uint32_t tokens) {
  Arrivals arrivals(sequences);
  const uint32_t prompt_tokens = std::max(context, 1U);
  const uint32_t most_tokens = tokens_side_by_side(sequences, context, tokens, engine_.options());
  std::vector<Request> requests(sequences);
  std::ranges::generate(requests, [&] { return random_request(prompt_tokens, most_tokens - prompt_tokens); });
  if (auto ran = run_side_by_side(engine_, std::move(requests), arrivals); !ran) return pass_on(ran);

  const auto& times = arrivals.times();
  Clock::time_point begin = times[0].front();
  Clock::time_point end = times[0].back();
  for (const auto& each : times) {
    begin = std::max(begin, each.front());
    end = std::min(end, each.back());
  }
  DecodeMeasurement result{.tokens = 0, .seconds = seconds_between(begin, end)};
  double context_sum = 0;
  for (const auto& each : times) {
    for (size_t i = 0; i < each.size(); ++i) {
      if (each[i] <= begin || each[i] > end) continue;
      ++result.tokens;
      context_sum += static_cast<double>(prompt_tokens + i);
    }
  }
  if (result.tokens == 0 || result.seconds <= 0) {
    return fail(ErrorCode::invalid_argument, "the sequences did not run side by side long enough to be measured",
                "ask for a larger --decode or fewer --sequences");
  }
  result.mean_context = context_sum / static_cast<double>(result.tokens);
  return result;
}

}  // namespace hearth::app
