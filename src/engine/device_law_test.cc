// The law of the engine on real devices: a request's logits are bit for bit the same alone, beside others, however its
// prompt is cut into steps, with a cached prefix and after a preemption.

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "base/file.h"
#include "engine/testing/served_golden.h"

namespace hearth {
namespace {

class DeviceLaw : public testing::TestWithParam<std::tuple<std::string, std::string>> {
 protected:
  Served serve(EngineOptions options) {
    const auto& [family, device] = GetParam();
    return Served(family, device, options);
  }

  /// The requests one after another, whole prompts in one step each.
  std::vector<Outcome> alone() {
    Served served = serve({.max_sequences = 1, .prefix_cache = false});
    std::vector<Outcome> outcomes(requests_.size());
    for (size_t i = 0; i < requests_.size(); ++i) outcomes[i] = served.submit(requests_[i]).get();
    return outcomes;
  }

  /// All at once under `options`.
  void expect_as_alone(Served& served) {
    const std::vector<Outcome> expected = alone();
    std::vector<std::future<Outcome>> futures(requests_.size());
    for (size_t i = 0; i < requests_.size(); ++i) futures[i] = served.submit(requests_[i]);
    for (size_t i = 0; i < futures.size(); ++i) {
      SCOPED_TRACE(i);
      expect_equal_bits(futures[i].get(), expected[i]);
    }
  }

  std::vector<Request> requests_ = {request(50, 1, 20), request(3, 2, 30), request(97, 3, 12), request(33, 4, 25),
                                    request(16, 5, 17)};
};

TEST_P(DeviceLaw, ABatchChangesNothing) {
  Served served = serve({.max_sequences = 8});
  expect_as_alone(served);
}

TEST_P(DeviceLaw, NeitherDoesTheCutOfThePrompts) {
  for (const uint32_t tokens : {5U, 19U}) {
    Served served = serve({.max_sequences = 3, .max_batched_tokens = tokens});
    expect_as_alone(served);
  }
}

TEST_P(DeviceLaw, NeitherDoesACachedPrefix) {
  requests_[2] = request(150, 3, 12);  // long enough for a state to be kept
  Served served = serve({.max_sequences = 4});
  for (const Request& each : requests_) served.submit(each).get();
  expect_as_alone(served);
  EXPECT_GE(served.submit(requests_[2]).get().cached_tokens, 128U);
}

TEST_P(DeviceLaw, NeitherDoesPreemption) {
  // Memory for one context of 128 tokens and little more; five requests that begin small and grow to 90 tokens.
  requests_.clear();
  for (uint64_t i = 0; i < 5; ++i) requests_.push_back(request(10 + 7 * i, i, 80 - 7 * static_cast<uint32_t>(i)));
  Served probe = serve({.context_length = 128, .max_sequences = 1});
  const uint64_t bytes = probe.engine().options().cache_bytes;
  Served served = serve({.context_length = 128, .max_sequences = 5, .cache_bytes = bytes + bytes / 4});
  expect_as_alone(served);
  EXPECT_GT(served.preemptions(), 0U);
}

// The device's candidates, and steps ahead where it takes them, against whole rows.
void expect_same_tokens_from_candidates(Served& served, const std::vector<Request>& requests) {
  for (Request each : requests) {
    for (const SamplingParams& params :
         {SamplingParams{.temperature = 0.0F},
          {.top_k = 20, .seed = 5},
          {.temperature = 0.8F, .top_k = 64, .top_p = 0.9F, .min_p = 0.01F, .seed = 6}}) {
      each.sampling = params;
      each.logprobs = 0;
      const Outcome from_rows = served.submit(each).get();
      each.logprobs.reset();
      const Outcome from_candidates = served.submit(each).get();
      ASSERT_FALSE(from_rows.error || from_candidates.error);
      ASSERT_EQ(from_candidates.tokens, from_rows.tokens);
    }
  }
}

TEST_P(DeviceLaw, CandidatesGiveTheTokensOfWholeRows) {
  Served served = serve({.max_sequences = 2, .prefix_cache = false});
  expect_same_tokens_from_candidates(served, {request(20, 1, 20), request(3, 2, 12)});
}

TEST(EngineOnVulkan, CandidatesGiveTheTokensOfWholeRows) {
  const auto device = open_device("vulkan", 1);
  if (!device && device.error().code == ErrorCode::unsupported) GTEST_SKIP() << to_string(device.error());
  Served served("gemma3_text", "vulkan", {.max_sequences = 2, .prefix_cache = false});
  expect_same_tokens_from_candidates(served, {request(8, 1, 24)});
}

INSTANTIATE_TEST_SUITE_P(Goldens, DeviceLaw,
                         testing::Combine(testing::Values("llama", "qwen2", "qwen3", "gemma2", "gemma3_text", "cohere2",
                                                          "olmo2", "starcoder2", "hunyuan_v1_dense", "qwen3_moe",
                                                          "glm4_moe", "lfm2", "qwen3_next", "qwen3_5",
                                                          "granitemoehybrid", "nemotron_h", "gemma4_text_soft",
                                                          "gemma4_moe_soft"),
                                          testing::Values("reference", "cpu")),
                         [](const auto& test) { return std::get<0>(test.param) + "_" + std::get<1>(test.param); });

// The engine end to end against another implementation: greedy answers of float64 models (tests/golden).
TEST(EngineOnGoldens, GreedyAnswersAreTheGoldenOnes) {
  for (const std::string family : {"llama",
                                   "mistral",
                                   "qwen2",
                                   "qwen3",
                                   "gemma2",
                                   "gemma3_text",
                                   "cohere2",
                                   "olmo2",
                                   "apertus",
                                   "smollm3",
                                   "qwen3_moe",
                                   "glm4_moe",
                                   "lfm2",
                                   "qwen3_next",
                                   "qwen3_5",
                                   "qwen3_5_moe",
                                   "granitemoehybrid",
                                   "nemotron_h",
                                   "gemma4_text",
                                   "gemma4_moe",
                                   "gemma4_text_soft",
                                   "gemma4_moe_soft"}) {
    const auto golden = nlohmann::json::parse(read_whole_file(kGoldens / family / "golden.json").value());
    Served served(family, "reference", {.max_sequences = 2, .max_batched_tokens = 32});
    Request request{.prompt = golden["input_ids"], .sampling = {.temperature = 0.0F}, .ignore_end_tokens = true};
    const auto expected = golden["greedy"].get<std::vector<int32_t>>();
    request.max_tokens = static_cast<uint32_t>(expected.size());
    EXPECT_EQ(served.submit(request).get().tokens, expected) << family;
  }
}

}  // namespace
}  // namespace hearth
