#include "app/downloads/lm_studio.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/testing/temporary_tree.h"

namespace hearth::app {
namespace {

using testing::ElementsAre;

class LmStudio : public testing::Test {
 protected:
  std::filesystem::path at(const char* folder) const { return tree_.root() / folder; }
  TemporaryTree tree_;
};

TEST_F(LmStudio, ItsFolderIsWhereItsFilesSay) {
  EXPECT_THAT(lm_studio_folders(tree_.root()), ElementsAre(at(".lmstudio/models"))) << "where it would be";
  EXPECT_TRUE(lm_studio_folders({}).empty());
  tree_.make_folder(".cache/lm-studio/models");
  EXPECT_THAT(lm_studio_folders(tree_.root()), ElementsAre(at(".cache/lm-studio/models")));
  tree_.make_folder(".lmstudio/models");
  tree_.make_folder("moved/models");
  tree_.write(".lmstudio-home-pointer", at("moved").native() + "\n");
  EXPECT_THAT(lm_studio_folders(tree_.root()),
              ElementsAre(at("moved/models"), at(".lmstudio/models"), at(".cache/lm-studio/models")));
  tree_.make_folder("large/disk");
  tree_.write("moved/settings.json", R"({"downloadsFolder": ")" + at("large/disk").native() + R"("})");
  EXPECT_EQ(lm_studio_folders(tree_.root()).front(), at("large/disk"));
}

TEST_F(LmStudio, FilesThatSayNothingUsefulAreAsGoodAsNone) {
  tree_.make_folder(".lmstudio/models");
  tree_.make_folder("x");
  for (const char* settings : {"", "{", "[]", "{}", R"({"downloadsFolder": 3})", R"({"downloadsFolder": "x"})",
                               R"({"downloadsFolder": "/nothing/here"})", R"({"downloadsFolder": ""})"}) {
    tree_.write(".lmstudio/settings.json", settings);
    tree_.write(".lmstudio-home-pointer", "x");
    EXPECT_THAT(lm_studio_folders(tree_.root()), ElementsAre(at(".lmstudio/models"))) << settings;
  }
}

TEST_F(LmStudio, ModelsAreFoundByPublisherAndRepository) {
  tree_.write("lmstudio-community/gemma-GGUF/gemma-Q4_K_M.gguf", "x");
  tree_.write("lmstudio-community/gemma-GGUF/mmproj-gemma.gguf", "x");
  tree_.write("lmstudio-community/gemma-GGUF/downloading_gemma-Q8_0.gguf.part", "xyz");
  tree_.write("mlx/gemma/config.json", "{}");
  tree_.write("mlx/gemma/model.safetensors", "x");
  tree_.write("stray.gguf", "x");
  std::vector<std::string> names;
  for (const DownloadedModel& model : lm_studio_models(tree_.root())) names.push_back(model.name);
  EXPECT_THAT(names, ElementsAre("lmstudio-community/gemma-GGUF:Q4_K_M", "mlx/gemma"));

  const auto find = [&](const char* name) { return find_in_lm_studio(tree_.root(), ModelName::parse(name).value()); };
  const auto found = find("lmstudio-community/gemma-GGUF");
  ASSERT_TRUE(found && *found);
  EXPECT_EQ((*found)->path, at("lmstudio-community/gemma-GGUF/gemma-Q4_K_M.gguf"));
  EXPECT_EQ((*found)->unfinished.bytes, 3U);
  EXPECT_TRUE((*find("mlx/gemma"))->is_whole());
  EXPECT_FALSE(*find("mlx/gemma@main")) << "it has no revisions";
  EXPECT_FALSE(*find("gemma"));
  EXPECT_FALSE(*find("mlx/nothing"));
}

TEST_F(LmStudio, ARepositoryOfWhichNothingIsThereYetIsNotWhole) {
  tree_.write("org/name/downloading_name-Q8_0.gguf.part", "x");
  const auto found = find_in_lm_studio(tree_.root(), ModelName::parse("org/name").value());
  ASSERT_TRUE(found && *found);
  EXPECT_EQ(to_string(not_whole(**found)),
            "org/name is not whole in LM Studio: every file with weights is missing; 1 "
            "unfinished download has 0.0 GB so far; let LM Studio finish its download");
}

}  // namespace
}  // namespace hearth::app
