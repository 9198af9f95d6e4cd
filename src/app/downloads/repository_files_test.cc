#include "app/downloads/repository_files.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/testing/temporary_tree.h"

namespace hearth::app {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

class RepositoryFiles : public testing::Test {
 protected:
  std::vector<RepositoryModel> models() const { return models_of_repository(tree_.root()); }

  std::vector<std::string> labels() const {
    std::vector<std::string> labels;
    for (const RepositoryModel& model : models()) labels.push_back(model.label);
    return labels;
  }

  /// The file that a choice means, or the error.
  std::string chosen(std::string_view choice) const {
    const auto model = choose_model(models(), choice, "org/name");
    return model ? model->file.native() : to_string(model.error());
  }

  TemporaryTree tree_;
};

TEST_F(RepositoryFiles, AFolderIsWholeWithConfigAndWeights) {
  tree_.write("config.json", "{}");
  tree_.write("model.safetensors", "12345");
  ASSERT_EQ(models().size(), 1U);
  EXPECT_EQ(models()[0].label, "");
  EXPECT_EQ(models()[0].bytes, 5U);
  EXPECT_THAT(models()[0].lacks, IsEmpty());
  EXPECT_EQ(chosen(""), "");
}

TEST_F(RepositoryFiles, MissingShardsAreNamedByTheIndex) {
  tree_.write("config.json", "{}");
  tree_.write("model.safetensors.index.json",
              R"({"weight_map": {"a": "x-1.safetensors", "b": "x-2.safetensors", "c": "x-3.safetensors"}})");
  tree_.write("x-2.safetensors", "x");
  tree_.link("x-3.safetensors", "../blobs/nothing");
  EXPECT_THAT(models().at(0).lacks, ElementsAre("x-1.safetensors", "x-3.safetensors"));
}

TEST_F(RepositoryFiles, MissingShardsAreNamedByTheOthersNumbers) {
  tree_.write("config.json", "{}");
  tree_.write("model-00002-of-00003.safetensors", "x");
  EXPECT_THAT(models().at(0).lacks,
              ElementsAre("model-00001-of-00003.safetensors", "model-00003-of-00003.safetensors"));
}

TEST_F(RepositoryFiles, AConfigurationAloneLacksItsWeightsAndWeightsTheirConfiguration) {
  tree_.write("config.json", "{}");
  EXPECT_THAT(models().at(0).lacks, ElementsAre("model.safetensors"));
  TemporaryTree other;
  other.write("model.safetensors", "x");
  EXPECT_THAT(models_of_repository(other.root()).at(0).lacks, ElementsAre("config.json"));
  EXPECT_THAT(models_of_repository(other.root() / "nothing"), IsEmpty());
}

TEST_F(RepositoryFiles, AnIndexIsNotBelieved) {
  tree_.write("config.json", "{}");
  for (const char* index : {"[", "[]", "3", "{}", R"({"weight_map": []})", R"({"weight_map": {"a": 1}})",
                            R"({"weight_map": {"a": "../../x.safetensors"}})", R"({"weight_map": {"a": "/x"}})",
                            R"({"weight_map": {"a": ""}})", R"({"weight_map": {"a": "b\u0000c"}})"}) {
    tree_.write("model.safetensors.index.json", index);
    EXPECT_NE(models().at(0).problem, "") << index;
  }
}

TEST_F(RepositoryFiles, GgufFilesAreLabelledByTheirQuantizations) {
  tree_.write("config.json", "{}");
  tree_.write("gemma-3-27b-it-Q4_K_M.gguf", "x");
  tree_.write("gemma-3-27b-it-UD-Q4_K_M.gguf", "x");
  tree_.write("gemma-3-27b-it.bf16.gguf", "x");
  tree_.write("mmproj-gemma-F16.gguf", "x");
  tree_.write("gemma.imatrix.gguf", "x");
  EXPECT_THAT(labels(), ElementsAre("Q4_K_M", "UD-Q4_K_M", "bf16")) << "a configuration alone is no model beside them";
  EXPECT_EQ(chosen("q4_k_m"), "gemma-3-27b-it-Q4_K_M.gguf");
  EXPECT_EQ(chosen("UD-Q4_K_M"), "gemma-3-27b-it-UD-Q4_K_M.gguf");
  EXPECT_EQ(chosen("gemma-3-27b-it.bf16.gguf"), "gemma-3-27b-it.bf16.gguf");
  EXPECT_EQ(chosen("gemma-3-27b-it.bf16"), "gemma-3-27b-it.bf16.gguf");
  EXPECT_THAT(chosen("Q4_K"),
              HasSubstr("org/name has no file Q4_K here; there is org/name:Q4_K_M (0.0 GB), org/name:UD"));
  EXPECT_THAT(chosen("it"), HasSubstr("several files that it may mean; say which"));
}

TEST_F(RepositoryFiles, SeveralFilesWithoutAChoiceAreListed) {
  tree_.write("a-Q4_0.gguf", "x");
  EXPECT_EQ(chosen(""), "a-Q4_0.gguf");
  tree_.write("a-Q8_0.gguf", "x");
  EXPECT_EQ(chosen(""), "org/name has several models; say which: org/name:Q4_0 (0.0 GB), org/name:Q8_0 (0.0 GB)");
  tree_.write("config.json", "{}");
  tree_.write("model.safetensors", "x");
  EXPECT_EQ(chosen(""), "") << "the folder is what the repository's name says";
  EXPECT_EQ(chosen("Q8_0"), "a-Q8_0.gguf");
}

TEST_F(RepositoryFiles, EqualQuantizationsAreToldApart) {
  tree_.write("a-Q4_0.gguf", "x");
  tree_.write("b-Q4_0.gguf", "x");
  tree_.write("one/c.gguf", "x");
  tree_.write("two/c.gguf", "x");
  EXPECT_THAT(labels(), ElementsAre("a-Q4_0", "b-Q4_0", "one/c.gguf", "two/c.gguf"));
  for (const RepositoryModel& model : models()) EXPECT_EQ(chosen(model.label), model.file) << model.label;
}

TEST_F(RepositoryFiles, OfASplitFileTheFirstIsTakenAndAllAreNeeded) {
  tree_.write("Q8_0/a-Q8_0-00001-of-00003.gguf", "12");
  tree_.write("Q8_0/a-Q8_0-00003-of-00003.gguf", "345");
  tree_.write("b-Q4_0-00002-of-00002.gguf", "6");
  ASSERT_THAT(labels(), ElementsAre("Q8_0", "Q4_0"));
  EXPECT_EQ(models()[0].file, "Q8_0/a-Q8_0-00001-of-00003.gguf");
  EXPECT_EQ(models()[0].bytes, 5U);
  EXPECT_THAT(models()[0].lacks, ElementsAre("Q8_0/a-Q8_0-00002-of-00003.gguf"));
  EXPECT_THAT(models()[1].lacks, ElementsAre("b-Q4_0-00001-of-00002.gguf"));
}

}  // namespace
}  // namespace hearth::app
