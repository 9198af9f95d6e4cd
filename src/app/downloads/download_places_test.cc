#include "app/downloads/download_places.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>

#include "app/downloads/list_downloads.h"
#include "base/testing/temporary_tree.h"

namespace hearth::app {
namespace {

using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;

namespace fs = std::filesystem;

DownloadRoots roots_of(std::map<std::string, std::string> variables) {
  return download_roots([variables = std::move(variables)](const char* name) {
    const auto found = variables.find(name);
    return found == variables.end() ? std::string() : found->second;
  });
}

TEST(DownloadRoots, AreWhereTheEnvironmentSays) {
  const auto hub = [](std::map<std::string, std::string> variables) {
    variables.emplace("HOME", "/homes/me");
    return roots_of(std::move(variables)).hugging_face;
  };
  EXPECT_EQ(hub({}), "/homes/me/.cache/huggingface/hub");
  EXPECT_EQ(hub({{"XDG_CACHE_HOME", "/cache"}}), "/cache/huggingface/hub");
  EXPECT_EQ(hub({{"XDG_CACHE_HOME", "/cache"}, {"HF_HOME", "~/hf"}}), "/homes/me/hf/hub");
  EXPECT_EQ(hub({{"HF_HOME", "/hf"}, {"HUGGINGFACE_HUB_CACHE", "/old"}}), "/old");
  EXPECT_EQ(hub({{"HUGGINGFACE_HUB_CACHE", "/old"}, {"HF_HUB_CACHE", "/hub"}}), "/hub");
  EXPECT_EQ(roots_of({}).hugging_face, "");
  EXPECT_THAT(roots_of({{"HOME", "/homes/me"}}).ollama,
              ElementsAre("/homes/me/.ollama/models", "/usr/share/ollama/.ollama/models"));
  EXPECT_THAT(roots_of({{"OLLAMA_MODELS", "/models"}}).ollama, ElementsAre("/models"));
}

class DownloadPlaces : public testing::Test {
 protected:
  void add_to_hub(const std::string& repository, const std::string& file) const {
    tree_.write("hub/models--" + repository + "/snapshots/" + std::string(40, 'c') + "/" + file, "{}");
  }
  void add_to_ollama(const std::string& path) const {
    const std::string digits(64, 'd');
    tree_.write("ollama/blobs/sha256-" + digits, "GGUF");
    tree_.write(
        "ollama/manifests/registry.ollama.ai/" + path,
        R"({"layers": [{"mediaType": "application/vnd.ollama.image.model", "digest": "sha256:)" + digits + R"("}]})");
  }
  std::vector<DownloadPlace> places() const {
    return download_places(
        {.home = tree_.root(), .hugging_face = tree_.root() / "hub", .ollama = {tree_.root() / "ollama"}});
  }
  Result<FoundDownload> find(const std::string& name) const {
    return find_download(ModelName::parse(name).value(), places());
  }
  std::string error(const std::string& name) const { return to_string(find(name).error()); }

  TemporaryTree tree_;
};

TEST_F(DownloadPlaces, TheFirstPlaceThatHasAWholeModelIsTakenAndTheOthersAreSaid) {
  add_to_hub("org--name", "name-Q4_0.gguf");
  tree_.write(".lmstudio/models/org/name/name-Q4_0.gguf", "x");
  add_to_ollama("org/name/latest");
  const auto found = find("org/name");
  ASSERT_TRUE(found) << to_string(found.error());
  EXPECT_EQ(found->model.tool, Tool::hugging_face);
  ASSERT_EQ(found->others.size(), 2U);
  EXPECT_EQ(found->others[0].tool, Tool::lm_studio);
  EXPECT_EQ(found->others[1].tool, Tool::ollama);
  EXPECT_EQ(find("ollama:org/name")->model.name, "org/name:latest");
  EXPECT_TRUE(find("lmstudio:org/name:Q4_0")->others.empty());
}

TEST_F(DownloadPlaces, AWholeModelIsTakenBeforeOneThatIsNot) {
  add_to_hub("org--name", "name-Q4_0-00001-of-00002.gguf");
  EXPECT_THAT(error("org/name"), HasSubstr("name-Q4_0-00002-of-00002.gguf is missing"));
  tree_.write(".lmstudio/models/org/name/name-Q4_0.gguf", "x");
  EXPECT_EQ(find("org/name")->model.tool, Tool::lm_studio);
  EXPECT_FALSE(find("org/name")->others.at(0).is_whole());
}

TEST_F(DownloadPlaces, WhatMayMeanSeveralInOnePlaceMeansNoneInAnother) {
  add_to_hub("org--name", "name-Q4_0.gguf");
  add_to_hub("org--name", "name-Q8_0.gguf");
  tree_.write(".lmstudio/models/org/name/name-Q4_0.gguf", "x");
  EXPECT_EQ(find("org/name").error().code, ErrorCode::invalid_argument);
  EXPECT_EQ(find("org/name:Q4_0")->model.tool, Tool::hugging_face);
}

TEST_F(DownloadPlaces, WhatIsNotThereIsToldWithTheNearestAndWhereWasLooked) {
  add_to_hub("google--gemma-3-27b-it", "gemma.gguf");
  add_to_ollama("library/gemma3/27b");
  const auto nearest = [](const std::string& name) {
    return HasSubstr("the nearest is " + name + "; `hearth models`");
  };
  EXPECT_THAT(error("google/gemma-3-12b-it"),
              AllOf(HasSubstr("google/gemma-3-12b-it: no such file or directory, and no model of that name in"),
                    HasSubstr((tree_.root() / "hub").native() + ","),
                    HasSubstr((tree_.root() / ".lmstudio/models").native() + " (not there)"),
                    nearest("google/gemma-3-27b-it:gemma")));
  EXPECT_THAT(error("Gemma-3-27B-it"), nearest("google/gemma-3-27b-it:gemma"));
  EXPECT_THAT(error("gemma3:12b"), nearest("gemma3:27b"));
  EXPECT_THAT(error("gemma3"), nearest("gemma3:27b"));
  EXPECT_THAT(error("something/else-entirely"), testing::Not(HasSubstr("nearest")));
  EXPECT_THAT(error("ollama:google/gemma-3-27b-it"), testing::Not(HasSubstr("/hub")));
  EXPECT_EQ(find("nothing").error().code, ErrorCode::not_found);
}

TEST_F(DownloadPlaces, AllIsListedWithWhatItLacks) {
  add_to_hub("org--half", "config.json");
  add_to_ollama("library/gemma3/27b");
  const auto report = list_downloads(places());
  ASSERT_EQ(report["models"].size(), 2U);
  EXPECT_EQ(report["models"][0]["name"], "org/half");
  EXPECT_EQ(report["models"][0]["whole"], false);
  EXPECT_THAT(report["models"][0]["lacks"], ElementsAre("model.safetensors"));
  EXPECT_EQ(report["models"][1]["name"], "gemma3:27b");
  EXPECT_EQ(report["models"][1]["whole"], true);
  EXPECT_EQ(report["looked_in"][0]["state"], "read");
  EXPECT_EQ(report["looked_in"][1]["state"], "not there");
  EXPECT_THAT(downloads_text(report), AllOf(HasSubstr("lacks model.safetensors\n"), HasSubstr("gemma3:27b")));
  for (const auto& model : report["models"]) {
    EXPECT_EQ(find(model["name"]).has_value(), model["whole"].get<bool>()) << model["name"];
  }
}

TEST_F(DownloadPlaces, APlaceThatMayNotBeReadIsSaidBesideModels) {
  add_to_ollama("library/gemma3/27b");
  auto report = list_downloads(places());
  EXPECT_THAT(downloads_text(report), testing::Not(HasSubstr("hub")));
  report["looked_in"][0]["state"] = "may not be read";
  EXPECT_THAT(downloads_text(report), HasSubstr("/hub (the Hugging Face cache): may not be read"));
}

TEST_F(DownloadPlaces, WhereNothingIsThePlacesAreListed) {
  EXPECT_THAT(downloads_text(list_downloads(places())),
              AllOf(HasSubstr("no models were found"), HasSubstr("/hub (the Hugging Face cache): not there")));
}

}  // namespace
}  // namespace hearth::app
