#include "server/openai/generation.h"

#include <gtest/gtest.h>

#include <future>

#include "server/testing/letter_engine.h"
#include "server/testing/test_text.h"

namespace hearth {
namespace {

/// A generation that has ended, with all it brought still to be taken.
std::unique_ptr<Generation> generated(LetterEngine& engine, const Tokenizer& tokenizer, Request request, bool stream,
                                      size_t echoed_bytes = 0) {
  auto ready = std::make_shared<ReadyModel>(ReadyModel{.engine = &engine, .tokenizer = &tokenizer});
  GenerationPlan plan{.model = std::move(ready), .requests = {}, .format = nullptr, .stream = stream};
  plan.format = make_chat_format({.id = "1", .model = "m", .logprobs = request.logprobs.has_value()}, &tokenizer, {});
  plan.echoed_bytes = echoed_bytes;
  plan.requests.push_back(std::move(request));
  auto generation = std::make_unique<Generation>(std::move(plan));
  generation->start([] {});
  EXPECT_TRUE(engine.wait_for([&] { return engine.running() == 0; }));
  // What comes in a later step comes after all events of this one.
  std::promise<void> later;
  EXPECT_TRUE(engine.submit({.prompt = {1}, .max_tokens = 1}, [&](const RequestEvent&) { later.set_value(); }));
  later.get_future().wait();
  return generation;
}

TEST(Generation, SaysWhenItsAnswerIsLongToWrite) {
  const Tokenizer tokenizer = make_test_tokenizer();
  for (const bool stream : {false, true}) {
    LetterEngine engine;
    const auto is_long = [&](Request request, size_t echoed_bytes = 0) {
      const auto generation = generated(engine, tokenizer, std::move(request), stream, echoed_bytes);
      const bool result = generation->take_is_long();
      const ReplyPart part = generation->take();
      EXPECT_TRUE(part.end || part.response);
      EXPECT_FALSE(generation->take_is_long()) << "nothing is left";
      return result;
    };
    EXPECT_FALSE(is_long({.prompt = {1}, .max_tokens = 100}));
    EXPECT_FALSE(is_long({.prompt = {1}, .max_tokens = 5, .logprobs = 20}));
    EXPECT_TRUE(is_long({.prompt = {1}, .max_tokens = 100, .logprobs = 20}));
    EXPECT_TRUE(is_long({.prompt = {1}, .max_tokens = 5}, 100'000));
  }
}

}  // namespace
}  // namespace hearth
