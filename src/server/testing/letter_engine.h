#pragma once

#include <algorithm>
#include <chrono>
#include <condition_variable>
#include <map>
#include <mutex>
#include <optional>
#include <thread>
#include <utility>
#include <vector>

#include "engine/engine.h"

namespace hearth {

/// An engine without a model, for tests: on a thread of its own each running request gets one token in each step. A
/// token is a byte of the vocabulary of test_text.h, and depends on the seed and the position only, so tests can tell
/// what must come. Requests that nobody lets run (`paused`) wait.
class LetterEngine final : public Engine {
 public:
  static constexpr uint32_t kContextLength = 4096;

  explicit LetterEngine(std::chrono::microseconds step = std::chrono::microseconds(200)) : step_(step) {
    thread_ = std::thread([this] { run(); });
  }

  ~LetterEngine() override {
    {
      std::lock_guard lock(mutex_);
      stopping_ = true;
    }
    changed_.notify_all();
    thread_.join();
  }

  /// The letter that a request with this seed generates at this position.
  static char letter(uint64_t seed, uint32_t position) { return static_cast<char>('a' + (seed * 7 + position) % 26); }

  static std::string text(uint64_t seed, uint32_t tokens) {
    std::string text;
    for (uint32_t i = 0; i < tokens; ++i) text += letter(seed, i);
    return text;
  }

  Result<RequestHandle> submit(Request request, EventCallback on_event) override {
    std::lock_guard lock(mutex_);
    if (refusal) return std::unexpected(*refusal);
    const RequestHandle handle = next_handle_++;
    submitted.push_back(request);
    running_.emplace(handle, Running{std::move(request), std::move(on_event)});
    changed_.notify_all();
    return handle;
  }

  void cancel(RequestHandle handle) override {
    std::lock_guard lock(mutex_);
    const auto at = running_.find(handle);
    if (at == running_.end()) return;
    at->second.cancelled = true;
    ++cancelled;
    changed_.notify_all();
  }

  bool drain(std::chrono::milliseconds) override { return true; }
  uint32_t context_length() const override { return kContextLength; }
  const EngineOptions& options() const override { return options_; }

  EngineMetrics metrics() const override {
    std::lock_guard lock(mutex_);
    EngineMetrics metrics;
    metrics.requests_running = static_cast<uint32_t>(running_.size());
    metrics.kv_blocks_total = 100;
    metrics.kv_blocks_used = 25;
    metrics.generation_tokens = generated_;
    metrics.queue_seconds = queue_seconds;
    metrics.users["alice"] = {.prompt_tokens = 30, .generation_tokens = 12};
    metrics.memory_use = {{"cpu", {{1000, 200, 30, 4}}}};
    metrics.buffer_pools = {{.buffer_bytes = 1 << 20, .capacity = 32, .allocated = 3, .in_use = 2, .taken = 17}};
    return metrics;
  }

  /// Runs `f` with the members below locked.
  template <class F>
  auto locked(F f) {
    std::lock_guard lock(mutex_);
    changed_.notify_all();
    return f();
  }

  /// Waits until `condition`, looked at under the lock, holds; false after a minute.
  template <class F>
  bool wait_for(F condition) {
    const auto deadline = std::chrono::steady_clock::now() + std::chrono::minutes(1);
    while (std::chrono::steady_clock::now() < deadline) {
      if (locked(condition)) return true;
      std::this_thread::sleep_for(std::chrono::milliseconds(1));
    }
    return false;
  }

  size_t running() const { return running_.size(); }

  // Set and read under locked().
  std::vector<Request> submitted;
  uint32_t cancelled = 0;
  bool paused = false;
  std::optional<Error> refusal;  ///< of submit
  double queue_seconds = 0;      ///< in the metrics
  std::optional<Error> failure;  ///< all running requests end with this
  std::string text_of_a_token;   ///< instead of one letter
  uint32_t default_max_tokens = 16;

 private:
  struct Running {
    Request request;
    EventCallback on_event;
    bool cancelled = false;
    uint32_t generated = 0;
  };

  void run() {
    std::unique_lock lock(mutex_);
    while (!stopping_) {
      const bool may_run = std::ranges::any_of(
          running_, [&](const auto& entry) { return !paused || entry.second.cancelled || failure; });
      if (!may_run) {
        changed_.wait(lock);
        continue;
      }
      std::vector<std::pair<EventCallback, RequestEvent>> events;
      for (auto entry = running_.begin(); entry != running_.end();) {
        auto& [handle, running] = *entry;
        if (paused && !running.cancelled && !failure) {
          ++entry;
          continue;
        }
        RequestEvent event = step(running);
        events.emplace_back(running.on_event, event);
        entry = event.finish_reason ? running_.erase(entry) : std::next(entry);
      }
      lock.unlock();
      for (const auto& [on_event, event] : events) on_event(event);
      std::this_thread::sleep_for(step_);
      lock.lock();
    }
  }

  RequestEvent step(Running& running) {
    RequestEvent event;
    const Request& request = running.request;
    event.usage.prompt_tokens = static_cast<uint32_t>(request.prompt.size());
    if (running.cancelled) {
      event.finish_reason = FinishReason::cancelled;
    } else if (failure) {
      event.finish_reason = FinishReason::failed;
      event.error = failure;
    } else {
      const char letter = LetterEngine::letter(request.sampling.seed.value_or(0), running.generated++);
      event.text = text_of_a_token.empty() ? std::string(1, letter) : text_of_a_token;
      event.tokens = {3 + letter};  // test_text.h: byte b is token 3 + b
      if (request.logprobs)
        event.logprobs = {TokenLogprobs{{3 + letter, -0.5F}, alternatives(letter, *request.logprobs)}};
      if (request.prompt_logprobs && running.generated == 1) event.prompt_logprobs = prompt_logprobs(request);
      const uint32_t limit = request.max_tokens > 0 ? request.max_tokens : default_max_tokens;
      if (running.generated == limit) event.finish_reason = FinishReason::length;
      if (!request.stop.empty() && request.stop.front() == std::string(1, letter)) {
        event.finish_reason = FinishReason::stop;
        event.stop_string = request.stop.front();
        event.text.clear();
      }
      ++generated_;
    }
    event.usage.completion_tokens = running.generated;
    return event;
  }

  static std::vector<TokenLogprob> alternatives(char letter, uint32_t count) {
    std::vector<TokenLogprob> top;
    for (uint32_t i = 0; i < count; ++i) top.push_back({3 + letter + static_cast<int32_t>(i), -0.5F - float(i)});
    return top;
  }

  static std::vector<TokenLogprobs> prompt_logprobs(const Request& request) {
    std::vector<TokenLogprobs> logprobs;
    for (const int32_t token : request.prompt) logprobs.push_back({{token, -1.0F}, {{token, -1.0F}}});
    logprobs.front().top.clear();
    return logprobs;
  }

  const std::chrono::microseconds step_;
  const EngineOptions options_;
  mutable std::mutex mutex_;
  std::condition_variable changed_;
  std::map<RequestHandle, Running> running_;
  RequestHandle next_handle_ = 1;
  uint64_t generated_ = 0;
  bool stopping_ = false;
  std::thread thread_;
};

}  // namespace hearth
