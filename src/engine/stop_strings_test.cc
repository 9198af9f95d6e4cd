#include "engine/stop_strings.h"

#include <gtest/gtest.h>

#include <random>

namespace hearth {
namespace {

struct Outcome {
  std::string text;
  std::optional<std::string> matched;
};

/// Oracle: the shortest prefix of the whole text that ends with a stop string, by trying every prefix.
Outcome whole(const std::vector<std::string>& stops, const std::string& text) {
  for (size_t end = 1; end <= text.size(); ++end) {
    const std::string* longest = nullptr;
    for (const std::string& stop : stops) {
      if (!text.substr(0, end).ends_with(stop)) continue;
      if (longest == nullptr || stop.size() > longest->size()) longest = &stop;
    }
    if (longest != nullptr) return {text.substr(0, end - longest->size()), *longest};
  }
  return {text, std::nullopt};
}

TEST(StopStrings, FindTheSameWhereverThePiecesAreCut) {
  std::mt19937 random(1);
  auto random_string = [&](size_t size) {
    std::string text;
    for (size_t i = 0; i < size; ++i) text += static_cast<char>('a' + random() % 3);
    return text;
  };
  for (int i = 0; i < 20000; ++i) {
    std::vector<std::string> stops;
    for (uint32_t n = random() % 4; n > 0; --n) stops.push_back(random_string(1 + random() % 7));
    const std::string text = random_string(random() % 40);
    const Outcome expected = whole(stops, text);

    StopStrings matcher(stops);
    Outcome found;
    for (size_t at = 0; at < text.size() && !found.matched;) {
      const size_t size = std::min<size_t>(1 + random() % 9, text.size() - at);
      found.matched = matcher.push(std::string_view(text).substr(at, size), found.text);
      ASSERT_TRUE(expected.text.starts_with(found.text)) << "shown too early";
      at += size;
    }
    if (!found.matched) matcher.flush(found.text);
    ASSERT_EQ(found.text, expected.text);
    ASSERT_EQ(found.matched, expected.matched);
  }
}

TEST(StopStrings, HoldBackOnlyWhatMayBecomeOne) {
  StopStrings matcher({"END.", "stop"});
  std::string shown;
  EXPECT_FALSE(matcher.push("the EN", shown));
  EXPECT_EQ(shown, "the ");
  EXPECT_FALSE(matcher.push("Ding", shown));
  EXPECT_EQ(shown, "the ENDing");
  EXPECT_FALSE(matcher.push(" s", shown));
  EXPECT_EQ(shown, "the ENDing ");
  EXPECT_EQ(matcher.push("top!", shown), "stop");
  EXPECT_EQ(shown, "the ENDing ");
}

TEST(StopStrings, CutBetweenCharacters) {
  StopStrings matcher({"é!"});
  std::string shown;
  matcher.push("caf\u00e8", shown);  // shares its first byte with the stop string
  EXPECT_EQ(shown, "caf\u00e8");
  matcher.push("\u00e9", shown);
  EXPECT_EQ(shown, "caf\u00e8");
  matcher.push("?", shown);
  EXPECT_EQ(shown, "caf\u00e8\u00e9?");
}

TEST(StopStrings, NoneLetEverythingPass) {
  StopStrings matcher({"", ""});
  std::string shown;
  EXPECT_FALSE(matcher.push("abc", shown));
  EXPECT_EQ(shown, "abc");
}

}  // namespace
}  // namespace hearth
