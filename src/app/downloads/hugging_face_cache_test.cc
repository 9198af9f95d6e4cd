#include "app/downloads/hugging_face_cache.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/testing/temporary_tree.h"

namespace hearth::app {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

const std::string kOld = "0a" + std::string(38, '1'), kNew = "0b" + std::string(38, '2');

class HuggingFaceCache : public testing::Test {
 protected:
  /// A file as the cache has it: a link to its bytes.
  void add(const std::string& repository, const std::string& commit, const std::string& file) {
    const std::string folder = "models--" + repository;
    const std::string blob = "blobs/" + commit.substr(0, 2) + file;
    tree_.write(std::filesystem::path(folder) / blob, "bytes");
    tree_.link(std::filesystem::path(folder) / "snapshots" / commit / file, "../../" + blob);
  }
  void add_model(const std::string& repository, const std::string& commit) {
    add(repository, commit, "config.json");
    add(repository, commit, "model.safetensors");
  }
  void point(const std::string& repository, const std::string& branch, const std::string& commit) {
    tree_.write("models--" + repository + "/refs/" + branch, commit);
  }

  Result<std::optional<DownloadedModel>> find(const std::string& name) const {
    return find_in_hugging_face(tree_.root(), ModelName::parse(name).value());
  }
  /// The commit whose files a name means, or the error.
  std::string commit_of(const std::string& name) const {
    const auto model = find(name);
    if (!model) return to_string(model.error());
    return *model ? (*model)->path.filename().native() : "nothing";
  }
  std::vector<std::string> names() const {
    std::vector<std::string> names;
    for (const DownloadedModel& model : hugging_face_models(tree_.root())) names.push_back(model.name);
    return names;
  }

  TemporaryTree tree_;
};

TEST_F(HuggingFaceCache, ANameMeansBranchMain) {
  add_model("org--name", kOld);
  add_model("org--name", kNew);
  point("org--name", "main", kNew + "\n");
  point("org--name", "refs/pr/1", kOld);
  EXPECT_EQ(commit_of("org/name"), kNew);
  EXPECT_EQ(commit_of("org/name@main"), kNew);
  EXPECT_EQ(commit_of("org/name@refs/pr/1"), kOld);
  EXPECT_EQ(commit_of("org/name@0a11"), kOld);
  EXPECT_EQ(commit_of("org/name@" + kOld), kOld);
  EXPECT_EQ(commit_of("org/other"), "nothing");
  EXPECT_EQ(commit_of("org/name@v2"),
            "org/name has no files of v2 in the Hugging Face cache; there is "
            "org/name@0a1111111111, org/name@0b2222222222");
  EXPECT_THAT(commit_of("org/name@0"), HasSubstr("no files of 0")) << "both begin so";
  EXPECT_THAT(names(), ElementsAre("org/name", "org/name@0a1111111111"));
}

TEST_F(HuggingFaceCache, ARepositoryMayHaveNoOrganisation) {
  add_model("gpt2", kOld);
  EXPECT_EQ(commit_of("gpt2"), kOld) << "the only snapshot, where no branch is known";
  EXPECT_THAT(names(), ElementsAre("gpt2"));
}

TEST_F(HuggingFaceCache, SeveralCommitsWithoutABranchAreListed) {
  add_model("org--name", kOld);
  add_model("org--name", kNew);
  EXPECT_THAT(commit_of("org/name"), HasSubstr("without a branch main; say which commit: org/name@0a1111111111, org"));
}

TEST_F(HuggingFaceCache, SaysWhatIsMissingAndWhatIsOnItsWay) {
  add("org--name", kNew, "config.json");
  add("org--name", kNew, "model-00001-of-00002.safetensors");
  point("org--name", "main", kNew);
  tree_.write("models--org--name/blobs/abc.0123abcd.incomplete", std::string(1000, 'x'));
  const auto model = find("org/name");
  ASSERT_TRUE(model && *model);
  EXPECT_THAT((*model)->lacks, ElementsAre("model-00002-of-00002.safetensors"));
  EXPECT_EQ((*model)->unfinished.files, 1U);
  EXPECT_EQ((*model)->unfinished.bytes, 1000U);
  EXPECT_EQ(
      to_string(not_whole(**model)),
      "org/name is not whole in the Hugging Face cache: model-00002-of-00002.safetensors is missing; 1 unfinished "
      "download has 0.0 GB so far; download the rest with `hf download org/name`");

  add_model("org--name", kOld);
  EXPECT_THAT(to_string(not_whole(**find("org/name"))), HasSubstr("all of it is there as org/name@0a1111111111"));
  EXPECT_TRUE((*find("org/name@0a1111111111"))->is_whole());
}

TEST_F(HuggingFaceCache, ADownloadThatHasJustBegunIsListedWithoutWeights) {
  tree_.make_folder("models--org--name/snapshots/" + kNew);
  tree_.write("models--org--name/blobs/abc.incomplete", "x");
  point("org--name", "main", kNew);
  const auto models = hugging_face_models(tree_.root());
  ASSERT_EQ(models.size(), 1U);
  EXPECT_FALSE(models[0].is_whole());
  EXPECT_FALSE((*find("org/name"))->is_whole());
}

TEST_F(HuggingFaceCache, OneOfSeveralFilesIsChosen) {
  add("org--name-GGUF", kNew, "name-Q4_0.gguf");
  add("org--name-GGUF", kNew, "name-Q8_0.gguf");
  EXPECT_THAT(names(), ElementsAre("org/name-GGUF:Q4_0", "org/name-GGUF:Q8_0"));
  EXPECT_EQ(commit_of("org/name-GGUF:Q8_0"), "name-Q8_0.gguf");
  EXPECT_EQ((*find("org/name-GGUF@0b22:q8_0"))->name, "org/name-GGUF@0b22:Q8_0");
  ASSERT_FALSE(find("org/name-GGUF"));
  EXPECT_EQ(find("org/name-GGUF").error().code, ErrorCode::invalid_argument);
}

TEST_F(HuggingFaceCache, ABranchLeadsNowhereElse) {
  add_model("org--name", kNew);
  tree_.write("elsewhere/config.json", "{}");
  tree_.write("elsewhere/model.safetensors", "x");
  for (const char* commit : {"../../elsewhere", "/", "..", ".", "", "main"}) {
    point("org--name", "main", commit);
    EXPECT_EQ(commit_of("org/name"), kNew) << "the only snapshot, as for no branch: " << commit;
  }
}

TEST_F(HuggingFaceCache, WhatIsNoRepositoryOfModelsIsLeftOut) {
  add_model("org--name", kNew);
  tree_.write("datasets--org--data/snapshots/" + kNew + "/config.json", "{}");
  tree_.write("models--..--..--x/snapshots/" + kNew + "/config.json", "{}");
  tree_.write("models----x/snapshots/" + kNew + "/config.json", "{}");
  tree_.write("version.txt", "1");
  tree_.write("models--a--file", "");
  EXPECT_THAT(names(), ElementsAre("org/name"));
  EXPECT_THAT(hugging_face_models(tree_.root() / "nothing"), IsEmpty());
  add_model("a--b--c", kNew);
  EXPECT_EQ(commit_of("a--b/c"), "nothing") << "whose folder would be that of a/b--c";
}

}  // namespace
}  // namespace hearth::app
