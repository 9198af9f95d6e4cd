#pragma once

#include <gtest/gtest.h>

#include <bit>
#include <filesystem>
#include <future>
#include <memory>
#include <string>
#include <vector>

#include "base/testing/source_folder.h"
#include "device/open_device.h"
#include "engine/engine.h"
#include "engine/sampling/random.h"
#include "model/model.h"

// For tests: engines on real devices and the golden checkpoints (tests/golden).
namespace hearth {

inline const std::filesystem::path kGoldens = source_folder() / "tests" / "golden";

/// Tokens and, for each, the logprobs of the whole vocabulary, which show any change of any logit.
struct Outcome {
  std::vector<int32_t> tokens;
  std::vector<TokenLogprobs> logprobs;
  uint32_t cached_tokens = 0;
  std::optional<Error> error;
};

inline void expect_equal_bits(const Outcome& a, const Outcome& b) {
  ASSERT_FALSE(a.error) << to_string(*a.error);
  ASSERT_FALSE(b.error) << to_string(*b.error);
  ASSERT_EQ(a.tokens, b.tokens);
  for (size_t i = 0; i < a.logprobs.size(); ++i) {
    ASSERT_EQ(a.logprobs[i].top.size(), b.logprobs[i].top.size());
    for (size_t j = 0; j < a.logprobs[i].top.size(); ++j) {
      const TokenLogprob &x = a.logprobs[i].top[j], &y = b.logprobs[i].top[j];
      ASSERT_TRUE(x.token == y.token && std::bit_cast<uint32_t>(x.logprob) == std::bit_cast<uint32_t>(y.logprob))
          << "answer token " << i << ", rank " << j << ": " << x.logprob << " and " << y.logprob;
    }
  }
}

/// A checkpoint on a device with an engine of its own.
class Served {
 public:
  /// A golden one.
  Served(const std::string& family, const std::string& device, const EngineOptions& options, DraftTokens draft = {})
      : Served(kGoldens / family, open_device(device, 2).value(), {}, options, std::move(draft)) {}

  Served(const std::filesystem::path& path, std::unique_ptr<Device> device, const LoadOptions& load,
         const EngineOptions& options, DraftTokens draft = {})
      : checkpoint_(open_checkpoint(path).value()),
        device_(std::move(device)),
        model_(Model::load(*checkpoint_, *device_, load, progress_, {}).value()),
        engine_(Engine::start(*model_, nullptr, options, {}, std::move(draft)).value()) {}

  std::future<Outcome> submit(Request request) {
    auto outcome = std::make_shared<Outcome>();
    auto done = std::make_shared<std::promise<Outcome>>();
    std::future<Outcome> future = done->get_future();
    const auto submitted = engine_->submit(std::move(request), [outcome, done](const RequestEvent& event) {
      outcome->tokens.insert(outcome->tokens.end(), event.tokens.begin(), event.tokens.end());
      outcome->logprobs.insert(outcome->logprobs.end(), event.logprobs.begin(), event.logprobs.end());
      outcome->cached_tokens = event.usage.cached_tokens;
      outcome->error = event.error;
      if (event.finish_reason) done->set_value(std::move(*outcome));
    });
    EXPECT_TRUE(submitted) << to_string(submitted.error());
    return future;
  }

  uint64_t preemptions() const { return engine_->metrics().preemptions; }
  const Engine& engine() const { return *engine_; }

 private:
  LatestProgress progress_;
  std::unique_ptr<Checkpoint> checkpoint_;
  std::unique_ptr<Device> device_;
  std::unique_ptr<Model> model_;
  std::unique_ptr<Engine> engine_;
};

inline constexpr uint32_t kVocabulary = 384;

/// A prompt of tokens that depend on `seed`; the answer comes with the logprobs of the whole vocabulary.
inline Request request(size_t prompt_tokens, uint64_t seed, uint32_t max_tokens) {
  Request made{.sampling = {.temperature = 1.0F, .seed = seed}, .max_tokens = max_tokens, .ignore_end_tokens = true};
  for (size_t i = 0; i < prompt_tokens; ++i) {
    made.prompt.push_back(static_cast<int32_t>(mix_bits(seed * 7919 + i) % kVocabulary));
  }
  made.logprobs = kVocabulary;
  return made;
}

}  // namespace hearth
