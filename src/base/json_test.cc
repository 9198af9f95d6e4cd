#include "base/json.h"

#include <fmt/format.h>
#include <gmock/gmock.h>

#include <chrono>

namespace hearth {
namespace {

using testing::HasSubstr;
using testing::Not;

TEST(ParseJson, ReadsADocument) {
  auto value = parse_json(R"({"a": [1, 2.5, "x", null, true], "b": {}})", "test");
  ASSERT_TRUE(value) << to_string(value.error());
  EXPECT_EQ((*value)["a"][1], 2.5);
  EXPECT_TRUE((*value)["b"].empty());
}

TEST(ParseJson, ErrorsNameSourceLineAndColumnInOneLine) {
  auto value = parse_json("{\n  \"a\": oops\n}", "config.json");
  ASSERT_FALSE(value);
  EXPECT_EQ(value.error().code, ErrorCode::corrupt);
  EXPECT_THAT(value.error().message, HasSubstr("config.json: not valid JSON: line 2, column"));
  EXPECT_THAT(value.error().message, Not(HasSubstr("\n")));
  EXPECT_THAT(value.error().message, Not(HasSubstr("json.exception")));
}

TEST(ParseJson, EveryKindOfBrokenTextIsAnError) {
  for (const std::string& text :
       {std::string(""), std::string(" "), std::string("{"), std::string("[1,]"), std::string("{\"a\":1}x"),
        std::string("\"\xff\""), std::string("\"\\ud800\""), std::string("nul"), std::string("1e999"),
        std::string("\"a\nb\""), std::string("{\"a\" 1}"), std::string("\0", 1), std::string(100000, '[')}) {
    auto value = parse_json(text, "text");
    ASSERT_FALSE(value) << text.substr(0, 20);
    EXPECT_THAT(value.error().message, Not(HasSubstr("\n")));
    EXPECT_LT(value.error().message.size(), 400u);
  }
}

TEST(ParseJson, LimitsDepthExactly) {
  const auto nested = [](int depth) { return std::string(depth, '[') + std::string(depth, ']'); };
  EXPECT_TRUE(parse_json(nested(64), "x"));
  auto value = parse_json(nested(65), "x");
  ASSERT_FALSE(value);
  EXPECT_THAT(value.error().message, HasSubstr("more than 64"));
  EXPECT_TRUE(parse_json("[{\"a\":1}]", "x", {.max_depth = 2}));
  EXPECT_FALSE(parse_json("[{\"a\":[]}]", "x", {.max_depth = 2}));
  EXPECT_TRUE(parse_json("1", "x", {.max_depth = 0}));
}

TEST(ParseJson, RepeatedKeysAreRefusedOnlyWhenAsked) {
  const char* twice = R"({"a": {"x": 1}, "b": {"x": 2}, "a": 3})";
  auto tolerant = parse_json(twice, "x");
  ASSERT_TRUE(tolerant);
  EXPECT_EQ((*tolerant)["a"], 3);
  auto strict = parse_json(twice, "x", {.unique_keys = true});
  ASSERT_FALSE(strict);
  EXPECT_THAT(strict.error().message, HasSubstr("\"a\""));
  EXPECT_TRUE(parse_json(R"([{"a": {"a": 1}}, {"a": 2}])", "x", {.unique_keys = true}));
}

/// Bodies of requests have megabytes; time that grows with the square of what they hold would be theirs to take.
TEST(ParseJson, TimeGrowsAsTheTextDoes) {
  std::string list = "[{}", object = "{\"first\": {}";
  for (int i = 0; i < 200'000; ++i) {
    list += ",{}";
    object += fmt::format(",\"{}\":{{}}", i);
  }
  const auto start = std::chrono::steady_clock::now();
  EXPECT_EQ(parse_json(list + "]", "list")->size(), 200'001);
  EXPECT_EQ(parse_json(object + "}", "object")->size(), 200'001);
  // Tenths of a second; with the square it is more than a minute.
  EXPECT_LT(std::chrono::steady_clock::now() - start, std::chrono::seconds(5));
}

}  // namespace
}  // namespace hearth
