#include "server/openai/response_format.h"

#include <gtest/gtest.h>

#include "server/testing/test_client.h"
#include "server/testing/test_text.h"

namespace hearth {
namespace {

using nlohmann::json;

/// The chunks in a piece of a stream.
std::vector<json> chunks(const std::string& events) {
  std::vector<json> parsed;
  for (const std::string& data : event_data(events)) parsed.push_back(json::parse(data));
  return parsed;
}

int32_t token_of(unsigned char byte) { return 3 + byte; }

TokenLogprobs logprobs_of(unsigned char byte) {
  return {{token_of(byte), -0.5F}, {{token_of(byte), -0.5F}, {token_of('z'), -2.0F}}};
}

TEST(ChatFormat, StreamsRoleThenTextThenReason) {
  const auto format = make_chat_format({.id = "i", .model = "m", .created = 5}, nullptr, {});
  const auto first = chunks(format->events(0, {.text = "Hel"}));
  ASSERT_EQ(first.size(), 2U);
  EXPECT_EQ(first[0]["object"], "chat.completion.chunk");
  EXPECT_EQ(first[0]["id"], "i");
  EXPECT_EQ(first[0]["created"], 5);
  EXPECT_EQ(first[0]["choices"][0]["delta"], (json{{"role", "assistant"}, {"content", ""}}));
  EXPECT_EQ(first[1]["choices"][0]["delta"], (json{{"content", "Hel"}}));
  EXPECT_TRUE(first[1]["choices"][0]["finish_reason"].is_null());
  EXPECT_FALSE(first[1].contains("usage"));

  EXPECT_TRUE(chunks(format->events(0, {.text = ""})).empty()) << "an unfinished character is no news";
  const auto last = chunks(format->events(0, {.text = "lo", .finish_reason = FinishReason::length}));
  ASSERT_EQ(last.size(), 2U);
  EXPECT_EQ(last[0]["choices"][0]["delta"], (json{{"content", "lo"}}));
  EXPECT_EQ(last[1]["choices"][0]["delta"], json::object());
  EXPECT_EQ(last[1]["choices"][0]["finish_reason"], "length");

  const auto other = chunks(format->events(1, {.text = ""}));
  ASSERT_EQ(other.size(), 1U) << "the first token shows, even if its text does not yet";
  EXPECT_EQ(other[0]["choices"][0]["index"], 1);
}

TEST(ChatFormat, TheFirstChunkAloneHasThePromptBesideItsChoices) {
  const auto format = make_chat_format({.return_token_ids = true}, nullptr, {5, 6});
  std::vector<json> all;
  for (const uint32_t choice : {1U, 0U}) {
    for (json& chunk : chunks(format->events(choice, {.text = "a", .tokens = {7}}))) all.push_back(std::move(chunk));
  }
  ASSERT_EQ(all.size(), 4U) << "a role and a token for each choice";
  EXPECT_EQ(all[0]["prompt_token_ids"], json({5, 6}));
  for (size_t i = 0; i < all.size(); ++i) {
    EXPECT_EQ(all[i].contains("prompt_token_ids"), i == 0) << all[i];
    EXPECT_FALSE(all[i]["choices"][0].contains("prompt_token_ids")) << all[i];
  }
  EXPECT_EQ(all[1]["choices"][0]["token_ids"], json({7}));
}

TEST(ChatFormat, UsageIsNullInEveryChunkAndFullInTheLast) {
  const auto format = make_chat_format({.include_usage = true}, nullptr, {});
  for (const json& chunk : chunks(format->events(0, {.text = "a"}))) {
    EXPECT_TRUE(chunk.contains("usage") && chunk["usage"].is_null());
  }
  const auto last = chunks(format->usage_event({.prompt_tokens = 5, .cached_tokens = 4, .completion_tokens = 3}));
  ASSERT_EQ(last.size(), 1U);
  EXPECT_EQ(last[0]["choices"], json::array());
  EXPECT_EQ(last[0]["usage"], (json{{"prompt_tokens", 5},
                                    {"completion_tokens", 3},
                                    {"total_tokens", 8},
                                    {"prompt_tokens_details", {{"cached_tokens", 4}}}}));
}

TEST(ChatFormat, UsageSoFarIsInEveryChunkThatAsksForIt) {
  const auto format = make_chat_format({.include_usage = true, .continuous_usage = true}, nullptr, {});
  for (uint32_t count = 1; count < 3; ++count) {
    for (const json& chunk : chunks(format->events(0, {.text = "a", .usage = {5, 4, count}}))) {
      EXPECT_EQ(chunk["usage"]["completion_tokens"], count) << chunk;
      EXPECT_EQ(chunk["usage"]["prompt_tokens"], 5) << chunk;
    }
  }
}

TEST(ChatFormat, AnswersInOnePiece) {
  const Tokenizer tokenizer = make_test_tokenizer();
  const auto format = make_chat_format({.id = "i", .model = "m", .logprobs = true}, &tokenizer, {});
  const RequestEvent choice{.text = "a",
                            .tokens = {token_of('a')},
                            .logprobs = {logprobs_of('a')},
                            .finish_reason = FinishReason::stop,
                            .stop_string = "\n"};
  const json response = json::parse(format->response({choice, choice}, {.prompt_tokens = 1, .completion_tokens = 2}));
  EXPECT_EQ(response["object"], "chat.completion");
  ASSERT_EQ(response["choices"].size(), 2U);
  const json& second = response["choices"][1];
  EXPECT_EQ(second["index"], 1);
  EXPECT_EQ(second["message"]["content"], "a");
  EXPECT_EQ(second["finish_reason"], "stop");
  EXPECT_EQ(second["stop_reason"], "\n");
  const json& entry = second["logprobs"]["content"][0];
  EXPECT_EQ(entry["token"], "a");
  EXPECT_EQ(entry["bytes"], json({'a'}));
  EXPECT_EQ(entry["logprob"], -0.5);
  EXPECT_EQ(entry["top_logprobs"][1]["token"], "z");
  EXPECT_EQ(response["usage"]["total_tokens"], 3);
}

TEST(CompletionFormat, EchoesThePromptOnceAndCountsOffsetsInCodePoints) {
  const Tokenizer tokenizer = make_test_tokenizer();
  // "é" is two tokens, c3 and a9.
  const std::vector<int32_t> prompt = {token_of('p'), token_of(0xC3), token_of(0xA9)};
  const auto format =
      make_completion_format({.logprobs = true}, &tokenizer, {{.text = "pé", .tokens = prompt}}, 1, true, false);
  const RequestEvent first{.text = "x",
                           .tokens = {token_of('x')},
                           .logprobs = {logprobs_of('x')},
                           .prompt_logprobs = {logprobs_of('p'), logprobs_of(0xC3), logprobs_of(0xA9)}};
  const auto events = chunks(format->events(0, first));
  ASSERT_EQ(events.size(), 1U);
  EXPECT_EQ(events[0]["object"], "text_completion");
  const json& choice = events[0]["choices"][0];
  EXPECT_EQ(choice["text"], "péx");
  EXPECT_EQ(choice["logprobs"]["tokens"], (json{"p", R"(bytes:\xc3)", R"(bytes:\xa9)", "x"}));
  EXPECT_EQ(choice["logprobs"]["text_offset"], (json{0, 1, 1, 2}));
  EXPECT_TRUE(choice["logprobs"]["token_logprobs"][0].is_null()) << "the first token follows nothing";
  EXPECT_TRUE(choice["logprobs"]["top_logprobs"][0].is_null());
  EXPECT_EQ(choice["logprobs"]["token_logprobs"][3], -0.5);
  EXPECT_EQ(choice["logprobs"]["top_logprobs"][3], (json{{"x", -0.5}, {"z", -2.0}}));

  const RequestEvent second{.text = "y", .tokens = {token_of('y')}, .logprobs = {logprobs_of('y')}};
  const json next = chunks(format->events(0, second)).at(0)["choices"][0];
  EXPECT_EQ(next["text"], "y");
  EXPECT_EQ(next["logprobs"]["text_offset"], json({3}));
}

TEST(CompletionFormat, ChoicesBelongToTheirPrompts) {
  const auto format =
      make_completion_format({.return_token_ids = true}, nullptr,
                             {{.text = "A", .tokens = {1}}, {.text = "B", .tokens = {2}}}, 2, true, false);
  const std::vector<RequestEvent> choices(4, {.text = "x", .tokens = {9}, .finish_reason = FinishReason::stop});
  const json response = json::parse(format->response(choices, {}));
  ASSERT_EQ(response["choices"].size(), 4U);
  for (int i = 0; i < 4; ++i) {
    EXPECT_EQ(response["choices"][i]["index"], i);
    EXPECT_EQ(response["choices"][i]["text"], i < 2 ? "Ax" : "Bx");
    EXPECT_EQ(response["choices"][i]["prompt_token_ids"], json({i < 2 ? 1 : 2}));
    EXPECT_EQ(response["choices"][i]["token_ids"], json({9}));
  }
}

TEST(CompletionFormat, MayDropWhatWasGenerated) {
  const Tokenizer tokenizer = make_test_tokenizer();
  const auto format =
      make_completion_format({.logprobs = true}, &tokenizer, {{.text = "p", .tokens = {token_of('p')}}}, 1, true, true);
  const RequestEvent event{.text = "x",
                           .tokens = {token_of('x')},
                           .logprobs = {logprobs_of('x')},
                           .prompt_logprobs = {logprobs_of('p')},
                           .finish_reason = FinishReason::length};
  const json choice = json::parse(format->response({event}, {}))["choices"][0];
  EXPECT_EQ(choice["text"], "p");
  EXPECT_EQ(choice["logprobs"]["tokens"], json({"p"}));
}

/// The alternatives of one generated token in a text completion.
json alternatives_of(const Tokenizer* tokenizer, const TokenLogprobs& token) {
  const auto format = make_completion_format({.logprobs = true}, tokenizer, {{}}, 1, true, false);
  const RequestEvent event{.text = "x", .tokens = {token.chosen.token}, .logprobs = {token}};
  return json::parse(format->response({event}, {}))["choices"][0]["logprobs"]["top_logprobs"][0];
}

TEST(Logprobs, OfPartsOfCharactersAreAllThere) {
  const Tokenizer tokenizer = make_test_tokenizer();
  const TokenLogprobs token{{token_of(0x80), -2.0F},
                            {{token_of(0xC3), -0.5F}, {token_of(0xA9), -1.0F}, {token_of(0x80), -2.0F}}};
  EXPECT_EQ(alternatives_of(&tokenizer, token),
            (json{{R"(bytes:\x80)", -2.0}, {R"(bytes:\xc3)", -0.5}, {R"(bytes:\xa9)", -1.0}}));
}

TEST(Logprobs, OfTokensThatReadTheSameAreAllThere) {
  const Tokenizer tokenizer = make_test_tokenizer();
  // The byte 0x20 and the word "▁" are both a space.
  ASSERT_EQ(tokenizer.token_bytes(token_of(' ')), tokenizer.token_bytes(kSpaceToken));
  const TokenLogprobs token{{token_of(' '), -2.0F}, {{kSpaceToken, -0.5F}, {token_of(' '), -2.0F}}};
  EXPECT_EQ(alternatives_of(&tokenizer, token), (json{{" ", -2.0}, {"token_id:259", -0.5}}));
  EXPECT_EQ(alternatives_of(nullptr, {{5, -2.0F}, {{6, -0.5F}}}), (json{{"token_id:5", -2.0}, {"token_id:6", -0.5}}));
}

TEST(Logprobs, OfWhatCannotComeAreStillNumbers) {
  const json entry = chat_logprobs(nullptr, std::vector<TokenLogprobs>{{{1, -INFINITY}, {}}})["content"][0];
  EXPECT_EQ(entry["logprob"], -9999.0);
  EXPECT_EQ(entry["token"], "");
}

}  // namespace
}  // namespace hearth
