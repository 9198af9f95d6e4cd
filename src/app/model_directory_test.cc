#include "app/model_directory.h"

#include <gtest/gtest.h>

#include <fstream>

namespace hearth::app {
namespace {

namespace fs = std::filesystem;

class ModelDirectory : public testing::Test {
 protected:
  ModelDirectory() {
    root_ = fs::path(testing::TempDir()) / testing::UnitTest::GetInstance()->current_test_info()->name();
    fs::remove_all(root_);
  }
  ~ModelDirectory() override { fs::remove_all(root_); }

  void write(const fs::path& path, size_t bytes = 1) {
    fs::create_directories((root_ / path).parent_path());
    std::ofstream(root_ / path) << std::string(bytes, 'x');
  }

  std::vector<std::string> names() const {
    std::vector<std::string> names;
    for (const FoundModel& model : find_models(root_)) names.push_back(model.name);
    return names;
  }

  fs::path root_;
};

TEST_F(ModelDirectory, FindsFilesAndDirectoriesButNoPartsAndProjectors) {
  write("b.gguf");
  write("publisher/a/a-Q4_0.gguf");
  write("publisher/a/mmproj-a.gguf");
  write("split/c-00001-of-00002.gguf");
  write("split/c-00002-of-00002.gguf");
  write("hf/config.json");
  write("hf/model.safetensors");
  write("notes.txt");
  EXPECT_EQ(names(), (std::vector<std::string>{"a-Q4_0", "b", "c-00001-of-00002", "hf"}));
}

TEST_F(ModelDirectory, EqualNamesAreToldApartByTheirPaths) {
  write("x/model.gguf");
  write("y/model.gguf");
  EXPECT_EQ(names(), (std::vector<std::string>{"x/model.gguf", "y/model.gguf"}));
}

TEST(NameModels, CallsThoseOfEqualNamesByTheirWholePathsWithoutAFolder) {
  const std::vector<FoundModel> named = name_models({"/x/a.gguf", "/y/a.gguf", "b.gguf"});
  ASSERT_EQ(named.size(), 3U);
  EXPECT_EQ(named[0].name, "/x/a.gguf");
  EXPECT_EQ(named[1].name, "/y/a.gguf");
  EXPECT_EQ(named[2].name, "b");
}

TEST_F(ModelDirectory, ADirectoryThatIsNotThereHasNoModels) { EXPECT_TRUE(names().empty()); }

TEST_F(ModelDirectory, BytesAreThoseOfAllParts) {
  write("a.gguf", 10);
  write("c-00001-of-00002.gguf", 20);
  write("c-00002-of-00002.gguf", 30);
  write("d-00001-of-00001.gguf", 70);
  write("hf/config.json", 5);
  write("hf/model-1.safetensors", 40);
  write("hf/model-2.safetensors", 50);
  EXPECT_EQ(model_file_bytes(root_ / "a.gguf"), 10U);
  EXPECT_EQ(model_file_bytes(root_ / "c-00001-of-00002.gguf"), 50U);
  EXPECT_EQ(model_file_bytes(root_ / "hf"), 90U);
  EXPECT_EQ(model_file_bytes(root_ / "nothing.gguf"), 0U);
}

}  // namespace
}  // namespace hearth::app
