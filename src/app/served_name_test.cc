#include "app/served_name.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <nlohmann/json.hpp>

namespace hearth::app {
namespace {

TEST(ServedName, IsTheNameOfTheFileOrDirectory) {
  EXPECT_EQ(served_name("models/Qwen2.5-0.5B-Instruct"), "Qwen2.5-0.5B-Instruct") << "no dot of a version is an ending";
  EXPECT_EQ(served_name("models/Qwen2.5-0.5B-Instruct/"), "Qwen2.5-0.5B-Instruct");
  EXPECT_EQ(served_name("models/Qwen2.5-0.5B-Instruct-q4_0.gguf"), "Qwen2.5-0.5B-Instruct-q4_0");
  EXPECT_EQ(served_name("model.bin"), "model.bin");
  EXPECT_EQ(served_name(".gguf"), ".gguf");
}

TEST(ServedName, OfTheFolderItselfIsItsRealName) {
  const std::filesystem::path before = std::filesystem::current_path();
  const auto folder = std::filesystem::path(testing::TempDir()) / ("served_name." + std::to_string(getpid()));
  std::filesystem::create_directories(folder / "gemma-3.1" / "deeper");
  std::filesystem::current_path(folder / "gemma-3.1");
  for (const char* path : {".", "./", "deeper/..", "../gemma-3.1/."}) EXPECT_EQ(served_name(path), "gemma-3.1") << path;
  std::filesystem::current_path(before);
  std::filesystem::remove_all(folder);
  EXPECT_EQ(served_name("/"), "model");
}

TEST(ServedName, IsAlwaysJson) {
  const std::string name = served_name("models/gemma-\xff\xfe\n.gguf");
  EXPECT_EQ(name, "gemma-\\xff\\xfe\\x0a");
  EXPECT_NO_THROW(nlohmann::json(name).dump());
}

}  // namespace
}  // namespace hearth::app
