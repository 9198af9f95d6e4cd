#include "app/model_argument.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/testing/temporary_tree.h"

namespace hearth::app {
namespace {

namespace fs = std::filesystem;

/// With a folder in which names may be paths, too.
class ModelArgument : public testing::Test {
 protected:
  ModelArgument() : before_(fs::current_path()) {
    tree_.make_folder("work");
    fs::current_path(tree_.root() / "work");
    tree_.write("hub/models--org--name/snapshots/" + commit_ + "/config.json", "{}");
    tree_.write("hub/models--org--name/snapshots/" + commit_ + "/model.safetensors", "x");
  }
  ~ModelArgument() override { fs::current_path(before_); }

  Result<FoundModel> find(const std::string& text) const {
    return find_model(text, DownloadRoots{.home = tree_.root(), .hugging_face = tree_.root() / "hub", .ollama = {}});
  }
  /// Whether it is taken for a path, whatever lies there.
  bool is_path(const std::string& text) const {
    const auto found = find(text);
    return found && found->path == text && found->name.empty();
  }

  const std::string commit_ = std::string(40, 'e');
  const fs::path before_;
  TemporaryTree tree_;
};

TEST_F(ModelArgument, ANameIsAModelThatAnotherToolHas) {
  const auto found = find("org/name");
  ASSERT_TRUE(found) << to_string(found.error());
  EXPECT_EQ(found->path, tree_.root() / "hub/models--org--name/snapshots" / commit_);
  EXPECT_EQ(found->name, "org/name");
  EXPECT_EQ(find("hf:org/name")->name, "org/name");
}

TEST_F(ModelArgument, WhatLiesOnTheDiskWins) {
  EXPECT_FALSE(is_path("org/name"));
  tree_.make_folder("work/org/name");
  EXPECT_TRUE(is_path("org/name"));
}

TEST_F(ModelArgument, WhatCanOnlyBeAPathIsOneAlsoWhereNothingIs) {
  for (const char* text : {"/nothing", "./org/name", "../name", "~/name", "org/name/", "name.gguf", "a/name.gguf",
                           "model.safetensors", "a b", "a/b/c/d", ""}) {
    EXPECT_TRUE(is_path(text)) << text;
  }
  EXPECT_FALSE(is_path("org/name:name.gguf"));
  EXPECT_EQ(find("nothing").error().code, ErrorCode::not_found);
}

}  // namespace
}  // namespace hearth::app
