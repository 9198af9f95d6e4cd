#include "app/model_directory.h"

#include <gtest/gtest.h>

#include <atomic>
#include <fstream>
#include <future>
#include <thread>

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

TEST_F(ModelDirectory, ModelsOfACacheHaveTheNamesByWhichTheyWereDownloaded) {
  const std::string commit(40, 'a'), digest(64, 'b');
  write("hub/models--org--name/snapshots/" + commit + "/config.json");
  write("hub/models--org--name/snapshots/" + commit + "/model.safetensors");
  write("hub/models--org--half/snapshots/" + commit + "/config.json");
  write("hub/models--org--name-GGUF/snapshots/" + commit + "/name-Q4_K_M.gguf");
  write("ollama/blobs/sha256-" + digest);
  fs::create_directories(root_ / "ollama/manifests/registry.ollama.ai/library/gemma3");
  std::ofstream(root_ / "ollama/manifests/registry.ollama.ai/library/gemma3/4b")
      << R"({"layers": [{"mediaType": "application/vnd.ollama.image.model", "digest": "sha256:)" << digest << R"("}]})";
  EXPECT_EQ(names(), (std::vector<std::string>{"gemma3:4b", "org/name", "org/name-GGUF:Q4_K_M"}));
  EXPECT_EQ(find_models(root_)[1].path, fs::canonical(root_ / "hub/models--org--name/snapshots" / commit));
}

TEST_F(ModelDirectory, EqualNamesAreToldApartByTheirPaths) {
  write("x/model.gguf");
  write("y/model.gguf");
  EXPECT_EQ(names(), (std::vector<std::string>{"x/model.gguf", "y/model.gguf"}));
}

TEST(NameModels, CallsThoseOfEqualNamesByTheirWholePathsWithoutAFolder) {
  const std::vector<FoundModel> named =
      name_models({{"/x/a.gguf", {}}, {"/y/a.gguf", {}}, {"b.gguf", {}}, {"/z/c", "org/c"}});
  ASSERT_EQ(named.size(), 4U);
  EXPECT_EQ(named[0].name, "/x/a.gguf");
  EXPECT_EQ(named[1].name, "/y/a.gguf");
  EXPECT_EQ(named[2].name, "b");
  EXPECT_EQ(named[3].name, "org/c");
}

TEST_F(ModelDirectory, ADirectoryThatIsNotThereHasNoModels) { EXPECT_TRUE(names().empty()); }

TEST_F(ModelDirectory, PathsAreTheSameHoweverTheFolderIsNamed) {
  write("a/b.gguf", 1);
  const auto found = find_models(root_ / "a" / ".." / "a");
  ASSERT_EQ(found.size(), 1U);
  EXPECT_EQ(found[0].path, std::filesystem::canonical(root_ / "a/b.gguf"));
  EXPECT_EQ(found[0].name, "b");
}

TEST_F(ModelDirectory, APlaceIsTheSameHoweverItIsNamed) {
  write("a/b.gguf", 1);
  fs::create_symlink(root_ / "a/b.gguf", root_ / "a/link.gguf");
  const fs::path folder = fs::canonical(root_ / "a");
  EXPECT_EQ(place_of(root_ / "a" / "." / "b.gguf"), folder / "b.gguf");
  EXPECT_EQ(place_of(root_ / "a" / ".." / "a/"), folder);
  EXPECT_EQ(place_of(root_ / "a/link.gguf"), folder / "link.gguf") << "its other parts lie beside it by its name";
}

TEST(ModelSearch, AFolderThatDoesNotAnswerKeepsNobodyWaiting) {
  struct Gate {
    std::promise<void> opens;
    std::shared_future<void> opened = opens.get_future().share();
    std::atomic<int> searches = 0;
  };
  const auto gate = std::make_shared<Gate>();
  ModelSearch search([gate] {
    ++gate->searches;
    gate->opened.wait();
    return std::vector<FoundModel>{{"/models/a.gguf", "a"}};
  });
  EXPECT_TRUE(search.look(std::chrono::milliseconds(1)).empty());
  EXPECT_TRUE(search.look(std::chrono::milliseconds(1)).empty());
  gate->opens.set_value();
  while (search.look(std::chrono::milliseconds(10)).empty()) std::this_thread::yield();
  EXPECT_EQ(search.look(std::chrono::seconds(60)).at(0).name, "a");
  EXPECT_GE(gate->searches, 1);
}

TEST(ModelSearch, OneSearchAtATime) {
  std::promise<void> opens;
  auto opened = opens.get_future().share();
  const auto searches = std::make_shared<std::atomic<int>>(0);
  ModelSearch search([opened, searches] {
    ++*searches;
    opened.wait();
    return std::vector<FoundModel>();
  });
  for (int i = 0; i < 5; ++i) search.look(std::chrono::milliseconds(0));
  while (*searches == 0) std::this_thread::yield();
  EXPECT_EQ(*searches, 1);
  opens.set_value();
}

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
