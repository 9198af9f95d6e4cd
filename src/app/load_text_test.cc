#include "app/load_text.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <fstream>

#include "base/testing/source_folder.h"
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

/// A directory with a tokenizer of two letters and the template `source`, and a folder to put files into.
class BrokenTemplateTest : public testing::Test {
 protected:
  void SetUp() override {
    std::string name = (std::filesystem::temp_directory_path() / "hearth_load_text_XXXXXX").string();
    ASSERT_NE(mkdtemp(name.data()), nullptr);
    folder_ = name;
    std::filesystem::copy(source_folder() / "tests/golden/llama", folder_);
    write("tokenizer.json", R"({"model": {"type": "BPE", "vocab": {"a": 0, "b": 1}, "merges": []},
                                "decoder": {"type": "Fuse"}})");
    write("chat_template.jinja", "{{ messages[0].content }}\n{% no_such_statement %}");
    auto opened = open_checkpoint(folder_);
    ASSERT_TRUE(opened) << to_string(opened.error());
    checkpoint_ = std::move(*opened);
  }
  void TearDown() override { std::filesystem::remove_all(folder_); }

  std::filesystem::path write(const std::string& name, const std::string& text) {
    std::ofstream(folder_ / name) << text;
    return folder_ / name;
  }

  std::filesystem::path folder_;
  std::unique_ptr<Checkpoint> checkpoint_;
};

TEST_F(BrokenTemplateTest, ATemplateThatDoesNotCompileCostsOnlyTheChat) {
  const auto text = load_text(*checkpoint_);
  ASSERT_TRUE(text) << to_string(text.error());
  EXPECT_NE(text->tokenizer, nullptr);
  EXPECT_EQ(text->chat_template, nullptr);
  ASSERT_TRUE(text->chat_template_error);
  EXPECT_THAT(text->chat_template_error->message, testing::HasSubstr("line 2"));
  EXPECT_THAT(text->chat_template_error->message, testing::HasSubstr("no_such_statement"));
}

TEST_F(BrokenTemplateTest, AFileReplacesTheTemplateAndMustBeUsable) {
  const auto text = load_text(*checkpoint_, write("good.jinja", "<{{ messages[0].content }}>"));
  ASSERT_TRUE(text) << to_string(text.error());
  EXPECT_FALSE(text->chat_template_error);
  ASSERT_NE(text->chat_template, nullptr);
  const auto rendered = text->chat_template->render({.messages = R"([{"role": "user", "content": "a"}])"});
  ASSERT_TRUE(rendered);
  EXPECT_EQ(rendered->at(0).text + rendered->at(1).text + rendered->at(2).text, "<a>");

  const auto broken = load_text(*checkpoint_, write("bad.jinja", "{% if %}"));
  ASSERT_FALSE(broken);
  EXPECT_THAT(broken.error().message, testing::HasSubstr("bad.jinja"));
  const auto missing = load_text(*checkpoint_, folder_ / "none.jinja");
  ASSERT_FALSE(missing);
  EXPECT_THAT(missing.error().message, testing::HasSubstr("none.jinja"));
}

TEST_F(BrokenTemplateTest, ARequestedStopEndsTheLoad) {
  std::stop_source stop;
  EXPECT_TRUE(load_text(*checkpoint_, {}, stop.get_token()));
  stop.request_stop();
  const auto text = load_text(*checkpoint_, {}, stop.get_token());
  ASSERT_FALSE(text);
  EXPECT_EQ(text.error().code, ErrorCode::cancelled);
}

INSTANTIATE_TEST_SUITE_P(Models, GgufTextTest, testing::Values("smollm2-135m-instruct.gguf", "gemma3-270m-q4_k_m.gguf"),
                         [](const auto& test) { return test.param.substr(0, test.param.find('-')); });

}  // namespace
}  // namespace hearth::app
