#include "base/json.h"

#include <fmt/format.h>
#include <gmock/gmock.h>

#include <ctime>

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
/// Seconds of this thread's processor time to read a list and an object of so many objects.
double parse_seconds(int count) {
  std::string list = "[{}", object = "{\"first\": {}";
  for (int i = 0; i < count; ++i) {
    list += ",{}";
    object += fmt::format(",\"{}\":{{}}", i);
  }
  const auto now = [] {
    timespec time = {};
    ::clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time);
    return static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_nsec) * 1e-9;
  };
  const double start = now();
  EXPECT_EQ(parse_json(list + "]", "list")->size(), count + 1);
  EXPECT_EQ(parse_json(object + "}", "object")->size(), count + 1);
  return now() - start;
}

TEST(ParseJson, TimeGrowsAsTheTextDoes) {
  parse_seconds(1000);  // what is only done once
  // With the square it is 64 times as long.
  EXPECT_LT(parse_seconds(80'000), 24 * parse_seconds(10'000));
}

}  // namespace
}  // namespace hearth
