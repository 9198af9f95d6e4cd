// Texts that are longer than a context, and that memory does not hold.

#include <gtest/gtest.h>
#include <sys/resource.h>
#include <unistd.h>

#include <cstdlib>
#include <fstream>

#include "text/test_data.h"
#include "text/tokenizer.h"

namespace hearth {
namespace {

using Ids = std::vector<uint32_t>;

const Tokenizer& smollm2() {
  static const Tokenizer tokenizer =
      Tokenizer::from_gguf(test::gguf_metadata("smollm2-135m-instruct.gguf").vocabulary()).value();
  return tokenizer;
}

/// Words whose tokens differ from their neighbours', `bytes` of them.
std::string long_text(size_t bytes) {
  std::string text;
  for (uint32_t i = 0; text.size() < bytes; ++i) text += "word " + std::to_string(i * 2654435761U) + "\n";
  return text;
}

TEST(LongText, StopsWhereThereAreSurelyMoreTokensThanAllowed) {
  const Tokenizer& tokenizer = smollm2();
  const std::string text = long_text(300'000);
  const size_t count = tokenizer.encode(text).value().size();
  const size_t far_below = count / 20;
  for (const bool add_special : {false, true}) {
    EXPECT_EQ(tokenizer.encode(text, {.add_special = add_special, .max_tokens = far_below}).value().size(),
              far_below + 1);
  }
  const std::vector<TextSegment> segments = {{"<|im_start|>", true}, {text, false}, {"<|im_end|>", true}};
  EXPECT_EQ(tokenizer.encode(segments, far_below).value().size(), far_below + 1);
  EXPECT_EQ(tokenizer.encode(segments, count / 2).value().size(), count + 2) << "what may fit nearly is counted";
  EXPECT_EQ(tokenizer.encode(text, {.max_tokens = count}).value(), tokenizer.encode(text).value());

  // Few tokens for many bytes: more than was likely, and yet no more than allowed.
  const std::string spaces(300'000, ' ');
  const Ids of_spaces = tokenizer.encode(spaces).value();
  EXPECT_LT(of_spaces.size(), spaces.size() / 8);
  EXPECT_EQ(tokenizer.encode(spaces, {.max_tokens = of_spaces.size()}).value(), of_spaces);
}

TEST(LongText, WhatDoesNotFitIntoMemoryIsAnError) {
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
  GTEST_SKIP() << "a sanitizer's shadow does not fit under a limit either";
#endif
  const Tokenizer& tokenizer = smollm2();
  const std::string text = long_text(2'000'000);
  const auto code_under_limit = [&] {
    size_t pages = 0;
    std::ifstream("/proc/self/statm") >> pages;
    const rlim_t limit = pages * static_cast<size_t>(sysconf(_SC_PAGESIZE)) + (64 << 20);
    const rlimit limits{.rlim_cur = limit, .rlim_max = limit};
    if (setrlimit(RLIMIT_AS, &limits) != 0) return 2;
    const Result<Ids> ids = tokenizer.encode(text);
    return !ids && ids.error().code == ErrorCode::out_of_memory ? 0 : 1;
  };
  EXPECT_EXIT(std::exit(code_under_limit()), ::testing::ExitedWithCode(0), "");
}

}  // namespace
}  // namespace hearth
