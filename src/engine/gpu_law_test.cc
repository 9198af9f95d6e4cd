// The law of the engine on a GPU: a request's logits move by less than a thousandth, whatever else is in its batch,
// however its prompt is cut into steps, and with a cached prefix; and its greedy text is the CPU's wherever the margin
// is larger than the error. The golden models' weights are plain, so nothing is rounded to bytes (docs/vulkan.md).
// A batch-invariant device's logits do not move by a bit, whatever the weights.

#include <gtest/gtest.h>

#include <cmath>
#include <cstdlib>

#include "engine/testing/served_golden.h"

namespace hearth {
namespace {

constexpr double kBound = 1e-3;

/// The logprobs by token.
std::vector<double> by_token(const TokenLogprobs& logprobs) {
  std::vector<double> values(kVocabulary);
  for (const TokenLogprob& each : logprobs.top) values[static_cast<size_t>(each.token)] = each.logprob;
  return values;
}

/// |a - b| / |b| in the Euclidean norm: logprobs are logits but for a constant.
double relative_error(const TokenLogprobs& a, const TokenLogprobs& b) {
  const std::vector<double> is = by_token(a), should = by_token(b);
  double difference = 0, size = 0;
  for (size_t i = 0; i < should.size(); ++i) {
    difference += std::pow(is[i] - should[i], 2);
    size += std::pow(should[i], 2);
  }
  return std::sqrt(difference / size);
}

/// Follows two greedy texts as far as they must be the same, and returns how many tokens that were.
size_t expect_near(const Outcome& is, const Outcome& should, double bound) {
  EXPECT_FALSE(is.error || should.error);
  if (is.logprobs.size() != should.logprobs.size()) {
    ADD_FAILURE() << is.logprobs.size() << " tokens instead of " << should.logprobs.size();
    return 0;
  }
  for (size_t i = 0; i < should.logprobs.size(); ++i) {
    EXPECT_LT(relative_error(is.logprobs[i], should.logprobs[i]), bound) << "answer token " << i;
    const std::vector<TokenLogprob>& best = should.logprobs[i].top;
    // Where the margin is smaller than the error of both, the texts may part.
    const double error = bound * std::abs(best[0].logprob);
    if (is.tokens[i] != should.tokens[i]) {
      EXPECT_LE(best[0].logprob - best[1].logprob, 2 * error) << "answer token " << i;
      return i;
    }
  }
  return should.logprobs.size();
}

class GpuTest : public testing::Test {
 protected:
  void SetUp() override {
    const auto device = open_device("vulkan", 1);
    const bool required = std::getenv("HEARTH_VULKAN_REQUIRED") != nullptr;
    if (!device && device.error().code == ErrorCode::unsupported && !required) {
      GTEST_SKIP() << to_string(device.error());
    }
    ASSERT_TRUE(device) << to_string(device.error());
    for (const size_t prompt : {50U, 3U, 150U, 33U, 16U}) {
      requests_.push_back(request(prompt, requests_.size() + 1, 12));
      requests_.back().sampling = {.temperature = 0.0F};
    }
  }

  std::vector<Outcome> alone(Served& served) const {
    std::vector<Outcome> outcomes;
    for (const Request& each : requests_) outcomes.push_back(served.submit(each).get());
    return outcomes;
  }

  std::vector<Outcome> together(Served& served) const {
    std::vector<std::future<Outcome>> futures;
    for (const Request& each : requests_) futures.push_back(served.submit(each));
    std::vector<Outcome> outcomes;
    for (auto& future : futures) outcomes.push_back(future.get());
    return outcomes;
  }

  std::vector<Request> requests_;
};

class GpuLaw : public GpuTest, public testing::WithParamInterface<std::string> {
 protected:
  static void expect_all_near(const std::vector<Outcome>& are, const std::vector<Outcome>& should, double bound) {
    size_t followed = 0, tokens = 0;
    for (size_t i = 0; i < should.size(); ++i) {
      SCOPED_TRACE(i);
      followed += expect_near(are[i], should[i], bound);
      tokens += should[i].tokens.size();
    }
    EXPECT_GT(followed, tokens * 3 / 4) << "texts that part early show nothing";
  }
};

TEST_P(GpuLaw, NeitherCompanyNorChunksNorACachedPrefixMoveLogits) {
  Served served(GetParam(), "vulkan", {.max_sequences = 8, .max_batched_tokens = 128});
  const std::vector<Outcome> expected = alone(served);
  {
    SCOPED_TRACE("the prompts' prefixes are cached, and all run at once");
    const std::vector<Outcome> cached = together(served);
    EXPECT_GE(cached[2].cached_tokens, 128U);
    expect_all_near(cached, expected, kBound);
  }
  {
    SCOPED_TRACE("all at once from the start, prompts in chunks of 19 tokens");
    Served chunked(GetParam(), "vulkan", {.max_sequences = 8, .max_batched_tokens = 19});
    expect_all_near(together(chunked), expected, kBound);
  }
  SCOPED_TRACE("the CPU, whose activations and cache have other formats");
  Served cpu(GetParam(), "cpu", {.max_sequences = 8, .max_batched_tokens = 128});
  expect_all_near(expected, alone(cpu), 2e-2);
}

// Of the families those that differ in most: a software GPU compiles for seconds what each of them needs.
INSTANTIATE_TEST_SUITE_P(Goldens, GpuLaw,
                         testing::Values("llama", "qwen3", "gemma3_text", "gemma4_text_soft", "qwen3_5", "nemotron_h",
                                         "deepseek_v3"),
                         [](const auto& test) { return test.param; });

/// $XDG_CACHE_HOME/hearth/models/... (tools/fetch_model).
std::filesystem::path fetched(const std::string& file) {
  const char* cache = std::getenv("XDG_CACHE_HOME");
  const char* home = std::getenv("HOME");
  const std::filesystem::path folder = cache != nullptr  ? std::filesystem::path(cache)
                                       : home != nullptr ? std::filesystem::path(home) / ".cache"
                                                         : std::filesystem::path();
  return folder / "hearth" / "models" / file;
}

class BatchInvariance : public GpuTest {
 protected:
  void SetUp() override {
    GpuTest::SetUp();
    if (!std::filesystem::exists(model_)) GTEST_SKIP() << model_ << " was not fetched";
  }

  /// Two layers: a bit that differed in the first would be many by the end.
  Served serve(uint32_t tokens_of_step) const {
    return {model_,
            open_device("vulkan", 1, true).value(),
            {.cut = {.max_layers = 2}},
            {.context_length = 256, .max_sequences = 8, .max_batched_tokens = tokens_of_step}};
  }

  static void expect_all_equal(const std::vector<Outcome>& are, const std::vector<Outcome>& should) {
    for (size_t i = 0; i < should.size(); ++i) {
      SCOPED_TRACE(i);
      expect_equal_bits(are[i], should[i]);
    }
  }

  const std::filesystem::path model_ = fetched("smollm2-135m-instruct.gguf");  ///< its file mixes block encodings
};

TEST_F(BatchInvariance, NeitherCompanyNorChunksNorACachedPrefixMoveABit) {
  Served served = serve(128);
  const std::vector<Outcome> expected = alone(served);
  const std::vector<Outcome> cached = together(served);
  EXPECT_GE(cached[2].cached_tokens, 128U);
  expect_all_equal(cached, expected);
  SCOPED_TRACE("all at once from the start, prompts in chunks of 19 tokens");
  Served chunked = serve(19);
  expect_all_equal(together(chunked), expected);
}

}  // namespace
}  // namespace hearth
