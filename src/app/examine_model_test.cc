// What `hearth inspect` says: of every golden that it can be served, of others why not.

#include "app/examine_model.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "app/print_model.h"
#include "formats/test_files.h"
#include "model/testing/edited_checkpoint.h"
#include "model/testing/goldens.h"

namespace hearth::app {
namespace {

using testing::HasSubstr;
using Json = nlohmann::ordered_json;

Json examine(const std::filesystem::path& path) {
  const auto checkpoint = open_checkpoint(path);
  if (!checkpoint) return ADD_FAILURE() << to_string(checkpoint.error()), Json();
  return examine_model(**checkpoint, true);
}

std::string obstacle(const Json& report, const std::string& keeps_from) {
  for (const Json& each : report["obstacles"]) {
    if (each["keeps_from"] == keeps_from) return each["because"];
  }
  return "";
}

TEST(ExamineModel, EveryGoldenCanBeServed) {
  for (const auto& entry : std::filesystem::directory_iterator(goldens())) {
    if (!exists(entry.path() / "config.json")) continue;
    SCOPED_TRACE(entry.path().filename());
    const Json report = examine(entry.path());
    EXPECT_EQ(obstacle(report, "serving"), "");
    ASSERT_FALSE(report["decoder"].is_null());
    EXPECT_GT(report["decoder"]["layers"], 0);
    uint64_t bytes = report["not_read"]["bytes"], listed = 0;
    for (const Json& format : report["formats"]) bytes += format["bytes"].get<uint64_t>();
    for (const Json& tensor : report["tensors"]) listed += tensor["bytes"].get<uint64_t>();
    EXPECT_EQ(bytes, listed);
    EXPECT_GT(bytes, 0U);
    EXPECT_THAT(model_text(report), HasSubstr("layers"));
  }
}

TEST(ExamineModel, WhatIsMissingIsNamedAndTheRestIsSaid) {
  EditedCheckpoint checkpoint("llama", [](nlohmann::json&) {});
  const std::string missing = "model.layers.1.mlp.up_proj.weight";
  checkpoint.edit_weights([&](nlohmann::json& header, std::string&) {
    header["other"] = header[missing];
    header.erase(missing);
  });
  const Json report = examine(checkpoint.path());
  EXPECT_THAT(obstacle(report, "serving"), HasSubstr(missing));
  EXPECT_EQ(report["decoder"]["family"], "llama");
  EXPECT_THAT(model_text(report), HasSubstr("what keeps it from serving"));
}

TEST(ExamineModel, AnUnknownFamilyIsAnObstacleAndItsTensorsAreSaid) {
  EditedCheckpoint checkpoint("llama", [](nlohmann::json& config) { config["model_type"] = "perceptron"; });
  const Json report = examine(checkpoint.path());
  EXPECT_THAT(obstacle(report, "serving"), HasSubstr("perceptron"));
  EXPECT_TRUE(report["decoder"].is_null());
  EXPECT_FALSE(report["formats"].empty());
}

TEST(ExamineModel, FormatsThatAreHeldInAnotherSayHowMuchThatTakes) {
  test_files::GgufBuilder gguf;
  gguf.key("general.architecture", "llama").tensor("token_embd.weight", 11, {256, 4}, std::string(440, '\0'));
  const test_files::MemoryFile file(gguf.build());
  const Json report = examine(file.path());
  ASSERT_EQ(report["formats"].size(), 1U);
  EXPECT_EQ(report["formats"][0]["format"], "q3_k");
  EXPECT_EQ(report["formats"][0]["bytes"], 440);
  EXPECT_EQ(report["formats"][0]["held_as"], "q6_k");
  EXPECT_EQ(report["formats"][0]["held_bytes"], 840);
}

}  // namespace
}  // namespace hearth::app
