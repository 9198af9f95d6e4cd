#include "text/utf8_stream.h"

#include <gtest/gtest.h>

#include <random>
#include <vector>

namespace hearth {
namespace {

constexpr const char* kReplacement = "\uFFFD";

std::string at_once(std::string_view bytes) {
  Utf8Stream stream;
  std::string text = stream.push(bytes);
  return text + stream.flush();
}

// Unicode 15, section 3.9, table 3-8 to 3-11, and what stands around them.
TEST(Utf8Stream, ReplacesMaximalSubparts) {
  const std::string r = kReplacement;
  EXPECT_EQ(at_once("\xC0\xAF\xE0\x80\xBF\xF0\x81\x82\x41"), r + r + r + r + r + r + r + r + "A");
  EXPECT_EQ(at_once("\xED\xA0\x80\xED\xBF\xBF\xED\xAF\x41"), r + r + r + r + r + r + r + r + "A");
  EXPECT_EQ(at_once("\xF4\x91\x92\x93\xFF\x41\x80\xBF\x42"), r + r + r + r + r + "A" + r + r + "B");
  EXPECT_EQ(at_once("\xE1\x80\xE2\xF0\x91\x92\xF1\xBF\x41"), r + r + r + r + "A");
}

TEST(Utf8Stream, PassesAllCharacters) {
  for (const uint32_t code :
       {0x0u, 0x7Fu, 0x80u, 0x7FFu, 0x800u, 0xFFFu, 0xD7FFu, 0xE000u, 0xFFFDu, 0x10000u, 0x10FFFFu}) {
    std::string text;
    if (code < 0x80) {
      text.push_back(static_cast<char>(code));
    } else if (code < 0x800) {
      text = {static_cast<char>(0xC0 | code >> 6), static_cast<char>(0x80 | (code & 63))};
    } else if (code < 0x10000) {
      text = {static_cast<char>(0xE0 | code >> 12), static_cast<char>(0x80 | (code >> 6 & 63)),
              static_cast<char>(0x80 | (code & 63))};
    } else {
      text = {static_cast<char>(0xF0 | code >> 18), static_cast<char>(0x80 | (code >> 12 & 63)),
              static_cast<char>(0x80 | (code >> 6 & 63)), static_cast<char>(0x80 | (code & 63))};
    }
    EXPECT_EQ(at_once(text), text) << code;
  }
}

TEST(Utf8Stream, HoldsBackOnlyWhatIsUnfinished) {
  Utf8Stream stream;
  EXPECT_EQ(stream.push("a\xF0\x9F"), "a");
  EXPECT_EQ(stream.push("\x98"), "");
  EXPECT_EQ(stream.push("\x80z"), "\U0001F600z");
  EXPECT_EQ(stream.push("\uFFFD"), "\uFFFD") << "a real U+FFFD is a character like any other";
  EXPECT_EQ(stream.push("\xE2\x82"), "");
  EXPECT_EQ(stream.flush(), kReplacement);
  EXPECT_EQ(stream.flush(), "");
  EXPECT_EQ(stream.push("b"), "b");
}

TEST(Utf8Stream, ResultDoesNotDependOnThePieces) {
  std::mt19937 random(1);
  const std::vector<std::string> parts = {
      "a", "\u00e9", "\u4f60", "\U0001F600", "\xC3", "\xE4\xBD", "\xF0\x9F\x98", "\x80", "\xFF", "\xED\xA0", "\uFFFD"};
  for (int round = 0; round < 300; ++round) {
    std::string bytes;
    for (int i = 0; i < 20; ++i) bytes += parts[random() % parts.size()];
    Utf8Stream stream;
    std::string pieces;
    for (size_t position = 0; position < bytes.size();) {
      const size_t length = 1 + random() % 5;
      pieces += stream.push(std::string_view(bytes).substr(position, length));
      position += length;
    }
    EXPECT_EQ(pieces + stream.flush(), at_once(bytes));
  }
}

}  // namespace
}  // namespace hearth
