#include "app/load_text.h"

#include <gtest/gtest.h>

#include "formats/gguf.h"
#include "text/test_data.h"

namespace hearth::app {
namespace {

class GgufTextTest : public testing::TestWithParam<std::string> {
 protected:
  void SetUp() override {
    auto opened = open_checkpoint(test::cache_path("models/" + GetParam()));
    ASSERT_TRUE(opened) << to_string(opened.error());
    checkpoint_ = std::move(*opened);
    ASSERT_NE(checkpoint_->as_gguf(), nullptr);
  }

  std::unique_ptr<Checkpoint> checkpoint_;
};

/// src/text's tests read GGUF files by themselves; what they showed holds for what is served only if both read alike.
TEST_P(GgufTextTest, TheVocabularyIsTheOneThatTheTokenizersTestsRead) {
  const GgufVocabulary expected = test::gguf_metadata(GetParam()).vocabulary();
  ASSERT_FALSE(expected.tokens.empty());
  const GgufVocabulary vocabulary = read_vocabulary(checkpoint_->as_gguf()->metadata(), expected.model);
  EXPECT_EQ(vocabulary.pre, expected.pre);
  EXPECT_EQ(vocabulary.tokens.size(), expected.tokens.size());
  EXPECT_EQ(vocabulary.merges.size(), expected.merges.size());
  EXPECT_TRUE(vocabulary == expected);
}

TEST_P(GgufTextTest, TextComesWithTheTemplateOfTheFileIfItHasOne) {
  const auto text = load_text(*checkpoint_);
  ASSERT_TRUE(text) << to_string(text.error());
  ASSERT_NE(text->tokenizer, nullptr);
  EXPECT_EQ(text->chat_template != nullptr, checkpoint_->as_gguf()->metadata().contains("tokenizer.chat_template"));
}

INSTANTIATE_TEST_SUITE_P(Models, GgufTextTest, testing::Values("smollm2-135m-instruct.gguf", "gemma3-270m-q4_k_m.gguf"),
                         [](const auto& test) { return test.param.substr(0, test.param.find('-')); });

}  // namespace
}  // namespace hearth::app
