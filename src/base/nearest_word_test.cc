#include "base/nearest_word.h"

#include <gtest/gtest.h>

#include <array>

namespace hearth {
namespace {

TEST(NearestWord, IsTheOneWithTheFewestChanges) {
  constexpr std::array<std::string_view, 4> kWords = {"llama", "qwen2", "qwen3", "gemma3_text"};
  EXPECT_EQ(nearest_word("qwen4", kWords), "qwen2") << "the first of equals";
  EXPECT_EQ(nearest_word("qwen3_vl", kWords), "qwen3");
  EXPECT_EQ(nearest_word("gemma3", kWords), "");
  EXPECT_EQ(nearest_word("lama", kWords), "llama");
  EXPECT_EQ(nearest_word("", kWords), "");
  EXPECT_EQ(nearest_word("xxxxxxxx", kWords), "");
  EXPECT_EQ(nearest_word("llama", {}), "");
}

}  // namespace
}  // namespace hearth
