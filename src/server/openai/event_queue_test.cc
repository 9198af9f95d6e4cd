#include "server/openai/event_queue.h"

#include <gtest/gtest.h>

namespace hearth {
namespace {

RequestEvent piece(std::string text, std::optional<FinishReason> finish = std::nullopt) {
  return {.text = std::move(text), .tokens = {1}, .finish_reason = finish, .usage = {.completion_tokens = 1}};
}

TEST(EventQueue, JoinsWhatWaitsOfAChoice) {
  int wakes = 0;
  EventQueue queue(2, true, 1000, [&] { ++wakes; });
  queue.push(0, piece("a"));
  queue.push(1, piece("x"));
  queue.push(0, piece("b", FinishReason::stop));
  EXPECT_EQ(wakes, 1) << "the reader knows already";
  const auto events = queue.take();
  ASSERT_EQ(events.size(), 2U);
  EXPECT_EQ(events[0]->text, "ab");
  EXPECT_EQ(events[0]->tokens, (std::vector<int32_t>{1, 1}));
  EXPECT_EQ(events[0]->finish_reason, FinishReason::stop);
  EXPECT_EQ(events[1]->text, "x");
  EXPECT_FALSE(events[1]->finish_reason);

  EXPECT_FALSE(queue.take()[1]) << "nothing comes twice";
  queue.push(1, piece("y"));
  EXPECT_EQ(wakes, 2);
  EXPECT_EQ(queue.take()[1]->text, "y");
}

TEST(EventQueue, AnAnswerInOnePieceIsWokenForItsEndOnly) {
  int wakes = 0;
  EventQueue queue(1, false, 10, [&] { ++wakes; });
  for (int i = 0; i < 100; ++i) queue.push(0, piece("abcdef"));
  EXPECT_EQ(wakes, 0);
  EXPECT_FALSE(queue.is_overflowing()) << "its length is limited by the context";
  queue.push(0, piece("", FinishReason::length));
  EXPECT_EQ(wakes, 1);
}

TEST(EventQueue, OverflowsWhenNobodyTakes) {
  int wakes = 0;
  EventQueue queue(1, true, 1000, [&] { ++wakes; });
  for (int i = 0; i < 20; ++i) queue.push(0, piece(std::string(20, 'x')));
  EXPECT_FALSE(queue.is_overflowing());
  (void)queue.take();
  for (int i = 0; i < 30; ++i) queue.push(0, piece(std::string(20, 'x')));
  EXPECT_FALSE(queue.is_overflowing()) << "what was taken does not count";
  EXPECT_EQ(wakes, 2);
  for (int i = 0; i < 30; ++i) queue.push(0, piece(std::string(20, 'x')));
  EXPECT_TRUE(queue.is_overflowing());
  EXPECT_EQ(wakes, 3) << "the reader hangs in a write, so it must be told once more";
}

TEST(EventQueue, IsSilentOnceClosed) {
  int wakes = 0;
  EventQueue queue(1, true, 1000, [&] { ++wakes; });
  queue.close();
  queue.push(0, piece("a"));
  EXPECT_EQ(wakes, 0);
  EXPECT_FALSE(queue.take()[0]);
  EXPECT_FALSE(queue.first_event());
}

}  // namespace
}  // namespace hearth
