#pragma once

#include <gtest/gtest.h>

#include <condition_variable>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <vector>

#include "engine/engine_loop.h"
#include "engine/sampling/sampler.h"
#include "engine/testing/fake_program.h"

namespace hearth {

/// All that came back for one request. Written on the engine's thread, read after `finished`.
struct Answer {
  std::string text;
  std::vector<int32_t> tokens;
  std::vector<TokenLogprobs> logprobs;
  std::vector<TokenLogprobs> prompt_logprobs;
  std::optional<FinishReason> finish_reason;
  std::optional<std::string> stop_string;
  std::optional<Error> error;
  Usage usage;
  uint64_t first_step = 0;  ///< steps that the program had made when the first token came
  int events = 0;

  void add(const RequestEvent& event) {
    EXPECT_FALSE(finish_reason) << "an event after the last one";
    ++events;
    text += event.text;
    tokens.insert(tokens.end(), event.tokens.begin(), event.tokens.end());
    logprobs.insert(logprobs.end(), event.logprobs.begin(), event.logprobs.end());
    prompt_logprobs.insert(prompt_logprobs.end(), event.prompt_logprobs.begin(), event.prompt_logprobs.end());
    finish_reason = event.finish_reason;
    stop_string = event.stop_string;
    error = event.error;
    usage = event.usage;
  }
};

/// An engine on the fake program, and the answers to what was submitted.
class FakeEngine {
 public:
  struct Setup {
    std::vector<CacheGroup> groups = {{.window = 0}};
    std::vector<uint32_t> blocks = {256};
    uint32_t context_length = 512;
    uint32_t least_context = 512;
    uint32_t vocabulary = 97;
    std::vector<int32_t> end_tokens = {};
    EngineOptions options = {};
    const Tokenizer* tokenizer = nullptr;
    std::optional<int> rebuilds;  ///< times that a lost program is made anew, after which it cannot be; without, never
    bool ahead = false;           ///< the program takes a step while one is in flight
    DraftTokens draft = {};
    std::function<Result<bool>(const std::function<bool()>&)> tune = {};  ///< each program's
    bool watches_memory = false;    ///< free_bytes and overused_bytes, as often as it can
    uint64_t free_bytes = 1 << 30;  ///< in the beginning
  };

  explicit FakeEngine(Setup setup) : setup_(std::move(setup)) {
    setup_.options.max_batched_tokens = std::max(setup_.options.max_batched_tokens, setup_.options.max_sequences);
    // Steps are filled, however long they take on the machine that runs the test.
    setup_.options.inter_token_target_ms = 0;
    free_bytes = setup_.free_bytes;
    EngineParts parts;
    parts.program = make_program(setup_.blocks, program_limits(setup_.options));
    if (setup_.rebuilds) {
      parts.rebuild = [this](const std::vector<uint32_t>& blocks, const ProgramLimits& limits, const std::stop_token&) {
        if (!setup_.watches_memory) {
          EXPECT_EQ(blocks, setup_.blocks);
        }
        return rebuild(blocks, limits);
      };
    }
    if (setup_.watches_memory) {
      parts.memories = [this] { return memories(); };
      parts.resize = [this](const std::vector<uint32_t>& blocks, const ProgramLimits& limits, const std::stop_token&) {
        return resize(blocks, limits);
      };
      parts.watch_interval = std::chrono::milliseconds(1);
    }
    parts.cache_groups = setup_.groups;
    parts.plan = {.context_length = setup_.context_length,
                  .least_context = setup_.least_context,
                  .blocks_per_group = setup_.blocks,
                  .bytes = cache_bytes_in(memories().front(), setup_.blocks)};
    parts.options = setup_.options;
    parts.vocabulary = setup_.vocabulary;
    parts.end_tokens = setup_.end_tokens;
    parts.tokenizer = setup_.tokenizer;
    parts.draft = setup_.draft;
    parts.idle_before_tuning = std::chrono::milliseconds(1);
    engine = std::make_unique<EngineLoop>(std::move(parts));
  }

  /// Its thread looks at the memory whenever it likes.
  ~FakeEngine() { engine.reset(); }
  FakeEngine(const FakeEngine&) = delete;

  /// The answer is filled while the engine runs; look at it after wait_until_idle.
  std::shared_ptr<Answer> submit(Request request, RequestHandle* handle = nullptr) {
    auto answer = std::make_shared<Answer>();
    {
      const std::lock_guard lock(mutex_);
      ++open_;
    }
    const auto submitted = engine->submit(std::move(request), [this, answer](const RequestEvent& event) {
      if (answer->tokens.empty() && program != nullptr) answer->first_step = program->steps;
      answer->add(event);
      if (!event.finish_reason) return;
      const std::lock_guard lock(mutex_);
      --open_;
      ended_.notify_all();
    });
    EXPECT_TRUE(submitted) << to_string(submitted.error());
    if (submitted && handle != nullptr) *handle = *submitted;
    return answer;
  }

  void wait_until_idle() {
    std::unique_lock lock(mutex_);
    ended_.wait(lock, [&] { return open_ == 0; });
    lock.unlock();
    while (engine->metrics().requests_running + engine->metrics().requests_waiting > 0) std::this_thread::yield();
    const auto integrity = engine->check_integrity();
    EXPECT_TRUE(integrity) << to_string(integrity.error());
  }

  /// The tokens that a request must give, computed alone and without a cache.
  Answer expected(const Request& request) const {
    Answer answer;
    std::vector<int32_t> tokens = request.prompt;
    SamplingState state(request.sampling, 0, request.prompt);
    Sampler sampler;
    std::vector<float> logits(setup_.vocabulary);
    std::vector<int32_t> end_tokens = request.stop_token_ids;
    if (!request.ignore_end_tokens) {
      end_tokens.insert(end_tokens.end(), setup_.end_tokens.begin(), setup_.end_tokens.end());
    }
    if (request.prompt_logprobs) answer.prompt_logprobs.push_back({.chosen = {tokens[0], 0.0F}});
    for (size_t i = 1; request.prompt_logprobs && i < tokens.size(); ++i) {
      FakeProgram::logits_after(std::span(tokens).first(i), setup_.groups, logits);
      answer.prompt_logprobs.push_back(sampler.logprobs(logits, tokens[i], *request.logprobs));
    }
    while (!answer.finish_reason) {
      FakeProgram::logits_after(tokens, setup_.groups, logits);
      const bool may_end = answer.tokens.size() >= request.min_tokens;
      const int32_t token = *sampler.sample(state, logits, may_end ? std::span<int32_t>() : std::span(end_tokens));
      if (request.logprobs) answer.logprobs.push_back(sampler.logprobs(logits, token, *request.logprobs));
      tokens.push_back(token);
      answer.tokens.push_back(token);
      state.record(token);
      if (std::ranges::find(end_tokens, token) != end_tokens.end()) {
        answer.finish_reason = FinishReason::stop;
      } else if (answer.tokens.size() == request.max_tokens || tokens.size() == setup_.context_length) {
        answer.finish_reason = FinishReason::length;
      }
    }
    return answer;
  }

  void expect_as_alone(const Request& request, const Answer& answer) const {
    const Answer alone = expected(request);
    EXPECT_EQ(answer.tokens, alone.tokens);
    EXPECT_EQ(answer.finish_reason, alone.finish_reason);
    EXPECT_EQ(answer.usage.completion_tokens, alone.tokens.size());
    EXPECT_EQ(answer.usage.prompt_tokens, request.prompt.size());
    expect_equal(answer.logprobs, alone.logprobs);
    expect_equal(answer.prompt_logprobs, alone.prompt_logprobs);
  }

  FakeProgram* program = nullptr;            ///< the present one
  int lost_rebuilds = 0;                     ///< so many of the next ones are lost at once; set before requests run
  std::atomic<uint64_t> free_bytes = 0;      ///< of the device's memory
  std::atomic<uint64_t> overused_bytes = 0;  ///< DeviceMemory
  std::atomic<int> looks = 0;                ///< at the memory
  std::atomic<int> failing_resizes = 0;      ///< so many of the next ones find no room
  std::unique_ptr<EngineLoop> engine;

 private:
  std::vector<CacheMemory> memories() {
    ++looks;
    CacheMemory memory = {.memory = {.kind = DeviceMemory::Kind::own,
                                     .name = "the fake GPU",
                                     .free_bytes = free_bytes,
                                     .overused_bytes = overused_bytes}};
    for (const CacheGroup& group : setup_.groups) memory.bytes_per_block.push_back(group.bytes_per_block);
    memory.most_layer_bytes.resize(setup_.groups.size());
    return {memory};
  }

  std::unique_ptr<Program> make_program(const std::vector<uint32_t>& blocks, const ProgramLimits& limits) {
    auto fake = std::make_unique<FakeProgram>(setup_.groups, blocks, limits, setup_.vocabulary);
    fake->ahead = setup_.ahead;
    fake->on_tune = setup_.tune;
    program = fake.get();
    return fake;
  }

  Result<std::unique_ptr<Program>> resize(const std::vector<uint32_t>& blocks, const ProgramLimits& limits) {
    program = nullptr;
    if (failing_resizes > 0) {
      --failing_resizes;
      return fail(ErrorCode::out_of_memory, "the fake device has no room");
    }
    return make_program(blocks, limits);
  }

  Result<std::unique_ptr<Program>> rebuild(const std::vector<uint32_t>& blocks, const ProgramLimits& limits) {
    program = nullptr;
    if ((*setup_.rebuilds)-- == 0) return fail(ErrorCode::unsupported, "the fake device is gone");
    auto made = make_program(blocks, limits);
    if (lost_rebuilds > 0) {
      --lost_rebuilds;
      program->fail_next_runs = 1;
    }
    return made;
  }

  static void expect_equal(const std::vector<TokenLogprobs>& a, const std::vector<TokenLogprobs>& b) {
    auto same = [](const TokenLogprob& x, const TokenLogprob& y) {
      return x.token == y.token && x.logprob == y.logprob;
    };
    ASSERT_EQ(a.size(), b.size());
    for (size_t i = 0; i < a.size(); ++i) {
      EXPECT_TRUE(same(a[i].chosen, b[i].chosen)) << i;
      EXPECT_TRUE(std::ranges::equal(a[i].top, b[i].top, same)) << i;
    }
  }

  Setup setup_;
  std::mutex mutex_;
  std::condition_variable ended_;
  int open_ = 0;
};

/// `size` tokens that depend on `seed`.
inline std::vector<int32_t> some_tokens(size_t size, uint64_t seed, uint32_t vocabulary = 97) {
  std::vector<int32_t> tokens(size);
  for (size_t i = 0; i < size; ++i) tokens[i] = static_cast<int32_t>(mix_bits(seed * 1000003 + i) % vocabulary);
  return tokens;
}

/// Drafts of up to `most_drafts` tokens: what greedy requests give on the fake program, except one in `wrong_in`; with
/// 0 all are right.
inline DraftTokens greedy_drafts(const std::vector<CacheGroup>& groups, size_t most_drafts, uint64_t wrong_in,
                                 uint32_t vocabulary = 97) {
  return [=, random = uint64_t{0}](std::span<const int32_t> tokens, uint32_t most) mutable {
    std::vector<int32_t> longer(tokens.begin(), tokens.end());
    std::vector<float> logits(vocabulary);
    for (size_t i = 0; i < std::min<size_t>(most, most_drafts); ++i) {
      FakeProgram::logits_after(longer, groups, logits);
      const auto best = static_cast<int32_t>(std::ranges::max_element(logits) - logits.begin());
      const bool is_wrong = wrong_in > 0 && mix_bits(++random) % wrong_in == 0;
      longer.push_back(is_wrong ? (best + 1) % static_cast<int32_t>(vocabulary) : best);
    }
    return std::vector<int32_t>(longer.begin() + static_cast<ptrdiff_t>(tokens.size()), longer.end());
  };
}

inline Request greedy(std::vector<int32_t> prompt, uint32_t max_tokens) {
  return {.prompt = std::move(prompt), .sampling = {.temperature = 0.0F}, .max_tokens = max_tokens};
}

}  // namespace hearth
