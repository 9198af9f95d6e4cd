#include <gtest/gtest.h>

#include "engine/testing/engine_fixture.h"
#include "text/tokenizer.h"

namespace hearth {
namespace {

constexpr int32_t kEnd = 2, kSpace = 3, kA = 4, kB = 5, kFirstByte = 6;
constexpr uint32_t kVocabulary = kFirstByte + 256;

/// Two letters, a space, and all bytes.
Tokenizer letters_and_bytes() {
  GgufVocabulary vocabulary{.model = "llama",
                            .tokens = {"<unk>", "<s>", "</s>", "\u2581", "a", "b"},
                            .scores = {0, 0, 0, -4, -5, -6},
                            .token_types = {2, 3, 3, 1, 1, 1},
                            .bos = 1,
                            .eos = kEnd,
                            .unknown = 0};
  for (int byte = 0; byte < 256; ++byte) {
    const char* digits = "0123456789ABCDEF";
    vocabulary.tokens.push_back(std::string("<0x") + digits[byte / 16] + digits[byte % 16] + ">");
    vocabulary.scores.push_back(-100);
    vocabulary.token_types.push_back(6);
  }
  return Tokenizer::from_gguf(vocabulary).value();
}

/// A request whose answer is made of a, b, spaces and both bytes of an e with an acute accent.
Request letters(uint64_t seed, uint32_t max_tokens) {
  Request request = greedy(some_tokens(12, seed, kVocabulary), max_tokens);
  request.sampling = {.temperature = 1.0F, .seed = seed};
  for (const int32_t token : {kSpace, kA, kB, kFirstByte + 0xC3, kFirstByte + 0xA9}) {
    request.sampling.logit_bias[token] = 90.0F;
  }
  return request;
}

std::string decode(const Tokenizer& tokenizer, std::span<const int32_t> tokens) {
  return tokenizer.decode(std::vector<uint32_t>(tokens.begin(), tokens.end()), {.starts_text = false});
}

class EngineText : public testing::Test {
 protected:
  Tokenizer tokenizer_ = letters_and_bytes();
  FakeEngine fake_{{.vocabulary = kVocabulary, .end_tokens = {kEnd}, .tokenizer = &tokenizer_}};
};

TEST_F(EngineText, IsTheDecodedAnswer) {
  for (uint64_t seed = 0; seed < 20; ++seed) {
    const auto answer = fake_.submit(letters(seed, 40));
    fake_.wait_until_idle();
    ASSERT_EQ(answer->tokens.size(), 40U);
    EXPECT_EQ(answer->text, decode(tokenizer_, answer->tokens));
  }
}

// Oracle: the answer without stop strings, decoded token by token until a stop string is in the text.
TEST_F(EngineText, EndsBeforeTheFirstStopString) {
  const std::vector<std::string> stops = {"bab", "a\u00e9", "\u00e9 ", "bb"};
  int stopped = 0;
  for (uint64_t seed = 0; seed < 40; ++seed) {
    Request request = letters(seed, 24);
    const auto whole = fake_.submit(request);
    request.stop = stops;
    const auto answer = fake_.submit(request);
    fake_.wait_until_idle();

    size_t tokens = 0;
    size_t end = std::string::npos;
    std::string text;
    while (end == std::string::npos && tokens < whole->tokens.size()) {
      text = decode(tokenizer_, std::span(whole->tokens).first(++tokens));
      if (text.ends_with("\uFFFD") && tokens < whole->tokens.size()) continue;  // an unfinished character
      for (const std::string& stop : stops) end = std::min(end, text.find(stop));
    }
    EXPECT_EQ(answer->tokens.size(), tokens) << whole->text;
    EXPECT_EQ(answer->text, text.substr(0, end)) << whole->text;
    EXPECT_EQ(answer->finish_reason, end == std::string::npos ? FinishReason::length : FinishReason::stop);
    EXPECT_EQ(answer->stop_string.has_value(), end != std::string::npos);
    if (answer->stop_string) {
      ++stopped;
      EXPECT_TRUE(text.substr(end).starts_with(*answer->stop_string));
    }
  }
  EXPECT_GT(stopped, 10);
}

TEST_F(EngineText, NeitherEndTokensNorEarlyStopStringsCountBeforeMinTokens) {
  Request request = letters(1, 30);
  request.stop = {"a", "b", " ", "\u00e9"};
  request.min_tokens = 20;
  const auto answer = fake_.submit(request);
  fake_.wait_until_idle();
  EXPECT_GE(answer->tokens.size(), 20U);
  EXPECT_LT(answer->tokens.size(), 25U);
  EXPECT_EQ(answer->finish_reason, FinishReason::stop);
}

TEST_F(EngineText, AnEndTokenIsNoTextAndReleasesWhatWasHeldBack) {
  Request request = letters(2, 100);
  request.sampling.logit_bias[kEnd] = 89.0F;
  request.stop = {"aaaaaaaaaaaaaaaaaaaaaaaaaa", "bbbbbbbbbbbbbbbbbbbbbbbbbbb"};
  request.skip_special_tokens = false;
  const auto answer = fake_.submit(request);
  fake_.wait_until_idle();
  ASSERT_EQ(answer->tokens.back(), kEnd);
  EXPECT_EQ(answer->finish_reason, FinishReason::stop);
  EXPECT_FALSE(answer->stop_string);
  EXPECT_EQ(answer->text, decode(tokenizer_, std::span(answer->tokens).first(answer->tokens.size() - 1)));
}

}  // namespace
}  // namespace hearth
