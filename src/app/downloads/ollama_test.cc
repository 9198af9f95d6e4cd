#include "app/downloads/ollama.h"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/testing/temporary_tree.h"

namespace hearth::app {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

const std::string kDigits(64, 'a'), kOtherDigits(64, 'b');

std::string layer(const std::string& kind, const std::string& digest, int bytes = 4) {
  return fmt::format(R"({{"mediaType": "application/vnd.ollama.image.{}", "digest": "{}", "size": {}}})", kind, digest,
                     bytes);
}

class Ollama : public testing::Test {
 protected:
  Ollama() { tree_.write("blobs/sha256-" + kDigits, "GGUF"); }

  void write_manifest(const std::string& path, const std::string& layers) const {
    tree_.write("manifests/" + path, R"({"schemaVersion": 2, "layers": [)" + layers + "]}");
  }
  std::optional<DownloadedModel> find(const std::string& name) const {
    return find_in_ollama(tree_.root(), ModelName::parse(name).value());
  }
  /// Why the model of this manifest cannot be used.
  std::string problem(const std::string& manifest) const {
    tree_.write("manifests/registry.ollama.ai/library/bad/latest", manifest);
    return find("bad").value().problem;
  }

  TemporaryTree tree_;
};

TEST_F(Ollama, NamesLeaveOutWhatIsUsual) {
  const std::string weights = layer("model", "sha256:" + kDigits);
  write_manifest("registry.ollama.ai/library/gemma3/27b", weights + "," + layer("template", "sha256:" + kOtherDigits));
  write_manifest("registry.ollama.ai/library/gemma3/latest", weights);
  write_manifest("registry.ollama.ai/someone/tuned/q8", weights);
  write_manifest("hf.co/org/name-GGUF/Q4_K_M", weights);
  std::vector<std::string> names;
  for (const DownloadedModel& model : ollama_models(tree_.root())) {
    names.push_back(model.name);
    EXPECT_TRUE(model.is_whole()) << model.name;
    ASSERT_TRUE(find(model.name)) << model.name;
    EXPECT_EQ(find(model.name)->path, tree_.root() / ("blobs/sha256-" + kDigits));
  }
  EXPECT_THAT(names, ElementsAre("hf.co/org/name-GGUF:Q4_K_M", "gemma3:27b", "gemma3:latest", "someone/tuned:q8"));
  EXPECT_EQ(find("gemma3")->name, "gemma3:latest");
  EXPECT_EQ(find("registry.ollama.ai/library/gemma3:27b")->name, "gemma3:27b");
  EXPECT_THAT(find("gemma3:27b")->ignored, ElementsAre("template"));
  EXPECT_FALSE(find("gemma3:4b"));
  EXPECT_FALSE(find("someone/tuned"));
  EXPECT_FALSE(find("gemma3@main"));
  EXPECT_TRUE(is_ollama_folder(tree_.root()));
}

TEST_F(Ollama, WeightsThatAreNotAllThereAreMissing) {
  write_manifest("registry.ollama.ai/library/gone/latest", layer("model", "sha256:" + kOtherDigits));
  tree_.write("blobs/sha256-" + kOtherDigits + "-partial", "xyz");
  EXPECT_THAT(find("gone")->lacks, ElementsAre("its weights (sha256-" + kOtherDigits + ")"));
  EXPECT_EQ(find("gone")->unfinished.bytes, 3U);
  EXPECT_THAT(to_string(not_whole(*find("gone"))), HasSubstr("`ollama pull gone:latest`"));
  write_manifest("registry.ollama.ai/library/short/latest", layer("model", "sha256:" + kDigits, 5));
  EXPECT_EQ(find("short")->problem, "its weights have 4 bytes, and 5 by the manifest");
}

TEST_F(Ollama, WhatHearthWouldServeWronglyIsRefused) {
  const std::string weights = layer("model", "sha256:" + kDigits);
  const auto of = [&](const std::string& layers) { return problem(R"({"layers": [)" + layers + "]}"); };
  EXPECT_EQ(of(weights), "");
  EXPECT_THAT(of(weights + "," + layer("adapter", "sha256:" + kDigits)), HasSubstr("an adapter"));
  EXPECT_THAT(of(layer("tensor", "sha256:" + kDigits)), HasSubstr("a file for each tensor"));
  EXPECT_THAT(of(weights + "," + weights), HasSubstr("names 2 files of weights"));
  EXPECT_THAT(of(""), HasSubstr("names no weights"));
}

TEST_F(Ollama, AManifestIsNotBelieved) {
  for (const char* digest : {"", "sha256:", "../../../etc/passwd", "sha256:../x", "sha256-aa/../x", "md5:aa"}) {
    EXPECT_THAT(problem(R"({"layers": [)" + layer("model", digest) + "]}"), HasSubstr("by a SHA-256")) << digest;
  }
  EXPECT_THAT(problem(R"({"layers": [)" + layer("model", "sha256:" + std::string(63, 'a') + "/") + "]}"),
              HasSubstr("by a SHA-256"));
  for (const char* manifest : {"[]", "3", "{}", R"({"layers": {}})", R"({"layers": [1, null, []]})",
                               R"({"layers": [{"mediaType": 3, "digest": [], "size": -1}]})"}) {
    EXPECT_THAT(problem(manifest), HasSubstr("names no weights")) << manifest;
  }
  EXPECT_NE(problem("{"), "");
  EXPECT_NE(problem(std::string(100000, '[')), "") << "too deep";
}

}  // namespace
}  // namespace hearth::app
