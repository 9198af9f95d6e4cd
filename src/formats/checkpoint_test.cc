#include "formats/checkpoint.h"

#include <gmock/gmock.h>
#include <unistd.h>

#include <fstream>
#include <nlohmann/json.hpp>
#include <string>

#include "base/testing/source_folder.h"
#include "formats/gguf.h"
#include "formats/huggingface.h"
#include "formats/test_files.h"

namespace hearth {
namespace {

using test_files::safetensors;
using test_files::small_gguf;
using test_files::small_safetensors;
using testing::ElementsAre;
using testing::HasSubstr;

class CheckpointTest : public testing::Test {
 protected:
  CheckpointTest() : folder_(testing::TempDir() + "hearth_checkpoint_test." + std::to_string(::getpid())) {
    std::filesystem::create_directories(folder_);
  }
  ~CheckpointTest() override { std::filesystem::remove_all(folder_); }

  std::filesystem::path write(const std::string& name, const std::string& text) {
    std::ofstream(folder_ / name, std::ios::binary) << text;
    return folder_ / name;
  }

  /// Two shards with two tensors each; the second is also in the index under its name.
  void write_shards() {
    write("config.json", "{}");
    const auto shard = [](const std::string& a, const std::string& b) {
      return safetensors("{\"" + a + R"(":{"dtype":"U8","shape":[2],"data_offsets":[0,2]},")" + b +
                             R"(":{"dtype":"BOOL","shape":[3],"data_offsets":[2,5]}})",
                         a.substr(0, 1) + a.substr(0, 1) + "---");
    };
    write("model-00001-of-00002.safetensors", shard("a", "b"));
    write("model-00002-of-00002.safetensors", shard("c", "d"));
  }

  void write_index(const nlohmann::json& weight_map) {
    write("model.safetensors.index.json", nlohmann::json{{"metadata", {}}, {"weight_map", weight_map}}.dump());
  }

  std::string error_of_opening() {
    auto checkpoint = open_checkpoint(folder_);
    return checkpoint ? "it opened" : to_string(checkpoint.error());
  }

  std::filesystem::path folder_;
};

TEST_F(CheckpointTest, TellsAGgufFileByItsContent) {
  auto checkpoint = open_checkpoint(write("model.bin", small_gguf().build()));
  ASSERT_TRUE(checkpoint) << to_string(checkpoint.error());
  EXPECT_EQ((*checkpoint)->kind(), CheckpointKind::gguf);
  ASSERT_NE((*checkpoint)->as_gguf(), nullptr);
  EXPECT_EQ((*checkpoint)->as_hugging_face(), nullptr);
  EXPECT_EQ((*checkpoint)->as_gguf()->metadata().get_string("general.architecture"), "llama");
  EXPECT_EQ((*checkpoint)->path(), folder_ / "model.bin");
}

TEST_F(CheckpointTest, SaysWhatWasFoundAndWhatIsAccepted) {
  const auto error = [](const std::filesystem::path& path) {
    auto checkpoint = open_checkpoint(path);
    return checkpoint ? "it opened" : to_string(checkpoint.error());
  };
  EXPECT_THAT(error(folder_ / "missing"), HasSubstr("missing: no such file or directory; give a .gguf file or"));
  EXPECT_THAT(error(folder_), HasSubstr("a directory without config.json; give a .gguf file or"));
  EXPECT_THAT(error(write("notes.txt", "hello")), HasSubstr("not a model file that hearth knows; give"));
  EXPECT_THAT(error(write("empty.gguf", "")), HasSubstr("the file is empty"));
  EXPECT_THAT(error(write("page.gguf", "<!DOCTYPE html>")), HasSubstr("does not start with \"GGUF\""));
  EXPECT_THAT(error(write("model.safetensors", small_safetensors())), HasSubstr("give the directory that holds both"));
  EXPECT_THAT(error(folder_), testing::AllOf(HasSubstr("it holds GGUF files; give one of them"), HasSubstr(".gguf")));
  EXPECT_THAT(error("/dev/null"), HasSubstr("not a file"));
}

TEST_F(CheckpointTest, OpensAHuggingFaceDirectory) {
  write("config.json", R"({"model_type": "llama"})");
  write("model.safetensors", small_safetensors());
  auto checkpoint = open_checkpoint(folder_);
  ASSERT_TRUE(checkpoint) << to_string(checkpoint.error());
  EXPECT_EQ((*checkpoint)->kind(), CheckpointKind::hugging_face);
  const HuggingFaceDirectory* directory = (*checkpoint)->as_hugging_face();
  ASSERT_NE(directory, nullptr);
  EXPECT_EQ((*checkpoint)->as_gguf(), nullptr);
  EXPECT_EQ(directory->config()["model_type"], "llama");
  EXPECT_TRUE(directory->generation_config().is_null());
  EXPECT_FALSE(directory->tokenizer_path());
  EXPECT_FALSE(directory->chat_template());
  EXPECT_EQ((*checkpoint)->tensors().size(), 6u);
  EXPECT_EQ((*checkpoint)->find("f").error().code, ErrorCode::unsupported);
  EXPECT_EQ(test_files::broken_promise(**checkpoint), "");

  write("generation_config.json", R"({"eos_token_id": 2})");
  write("tokenizer.json", "{}");
  write("tokenizer_config.json", R"({"chat_template": "from the configuration"})");
  checkpoint = open_checkpoint(folder_);
  ASSERT_TRUE(checkpoint);
  directory = (*checkpoint)->as_hugging_face();
  EXPECT_EQ(directory->generation_config()["eos_token_id"], 2);
  EXPECT_EQ(directory->tokenizer_path(), folder_ / "tokenizer.json");
  EXPECT_EQ(directory->chat_template(), "from the configuration");
}

TEST_F(CheckpointTest, ShardsThatAreAllThereNeedNoIndex) {
  write("config.json", "{}");
  write("model-00001-of-00001.safetensors", small_safetensors());
  const auto one = open_checkpoint(folder_);
  ASSERT_TRUE(one) << to_string(one.error());
  EXPECT_EQ((*one)->tensors().size(), 6U);

  std::filesystem::remove(folder_ / "model-00001-of-00001.safetensors");
  write("model-00001-of-00002.safetensors", small_safetensors());
  EXPECT_THAT(error_of_opening(), HasSubstr("model-00002-of-00002.safetensors is missing"));
  write("model-00002-of-00002.safetensors",
        test_files::safetensors(R"({"g":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}})", std::string(4, '\1')));
  const auto two = open_checkpoint(folder_);
  ASSERT_TRUE(two) << to_string(two.error());
  EXPECT_EQ((*two)->tensors().size(), 7U);
  write("model-00001-of-00003.safetensors", small_safetensors());
  EXPECT_THAT(error_of_opening(),
              testing::AllOf(HasSubstr("model-00001-of-00002.safetensors"),
                             HasSubstr("model-00001-of-00003.safetensors"), HasSubstr("are of different checkpoints")));
}

TEST_F(CheckpointTest, TheChatTemplateOfItsOwnFileWins) {
  write("config.json", "{}");
  write("model.safetensors", small_safetensors());
  const auto chat_template = [&] { return open_checkpoint(folder_).value()->as_hugging_face()->chat_template(); };
  write("tokenizer_config.json",
        R"({"chat_template": [{"name": "tool_use", "template": "tools"}, {"name": "default", "template": "plain"}]})");
  EXPECT_EQ(chat_template(), "plain");
  write("chat_template.json", R"({"chat_template": "json"})");
  EXPECT_EQ(chat_template(), "json");
  write("chat_template.jinja", "{{ jinja }}\n");
  EXPECT_EQ(chat_template(), "{{ jinja }}\n");
}

TEST_F(CheckpointTest, BrokenConfigurationsAreNamed) {
  write("model.safetensors", small_safetensors());
  write("config.json", "{");
  EXPECT_THAT(error_of_opening(), HasSubstr("config.json: not valid JSON"));
  write("config.json", "[]");
  EXPECT_THAT(error_of_opening(), HasSubstr("config.json: not a JSON object"));
  write("config.json", "{}");
  write("generation_config.json", "nonsense");
  EXPECT_THAT(error_of_opening(), HasSubstr("generation_config.json: not valid JSON"));
}

TEST_F(CheckpointTest, MissingWeightsAreNamed) {
  write("config.json", "{}");
  EXPECT_THAT(error_of_opening(), HasSubstr("neither model.safetensors nor model.safetensors.index.json"));
  write("pytorch_model.bin", "");
  EXPECT_THAT(error_of_opening(), HasSubstr("convert it to safetensors"));
}

TEST_F(CheckpointTest, APointerOfGitLfsIsCalledOne) {
  const std::string pointer =
      "version https://git-lfs.github.com/spec/v1\noid "
      "sha256:4d7a214614ab2935c943f9e0ff69d22eadbb8f32b1258daaa5e2ca24d17e2393\n"
      "size 4976698672\n";
  write("config.json", "{}");
  const auto weights = write("model.safetensors", pointer);
  EXPECT_THAT(error_of_opening(), HasSubstr(weights.string() + ": only Git LFS's pointer to 4.98 GB is here"));
  EXPECT_THAT(error_of_opening(), HasSubstr("git lfs pull"));
  const auto gguf = open_checkpoint(write("model.gguf", pointer));
  ASSERT_FALSE(gguf);
  EXPECT_THAT(gguf.error().message, HasSubstr("pointer to 4.98 GB"));
}

TEST_F(CheckpointTest, ReadsShardsByTheirIndex) {
  write_shards();
  const char *first = "model-00001-of-00002.safetensors", *second = "model-00002-of-00002.safetensors";
  write_index({{"a", first}, {"b", first}, {"c", second}});
  auto opened = open_checkpoint(folder_);
  ASSERT_TRUE(opened) << to_string(opened.error());
  const Checkpoint& checkpoint = **opened;
  EXPECT_EQ(checkpoint.file_count(), 2u);
  EXPECT_EQ(checkpoint.tensors().size(), 2u);
  EXPECT_EQ(checkpoint.find("b").error().code, ErrorCode::unsupported);
  EXPECT_EQ(checkpoint.find("d").error().code, ErrorCode::not_found) << "the index does not name it";
  const TensorInfo c = checkpoint.find("c").value();
  EXPECT_EQ(checkpoint.file(c.file).path().filename(), second);
  std::string text(2, ' ');
  ASSERT_TRUE(checkpoint.read(c, 0, std::as_writable_bytes(std::span(text))));
  EXPECT_EQ(text, "cc");
}

TEST_F(CheckpointTest, IndexAndShardsMustAgree) {
  write_shards();
  const char *first = "model-00001-of-00002.safetensors", *second = "model-00002-of-00002.safetensors";
  write_index({{"a", first}, {"x", second}});
  EXPECT_THAT(error_of_opening(), HasSubstr(std::string(second) + ": tensor x should be here"));
  write_index({{"a", first}, {"b", second}});
  EXPECT_THAT(error_of_opening(), HasSubstr("tensor b should be here"));
  write_index({{"a", "model-00003-of-00003.safetensors"}});
  EXPECT_THAT(error_of_opening(), HasSubstr("model-00003-of-00003.safetensors: no such file"));
  for (const char* outside : {"../model.safetensors", "/etc/passwd", "", ".", "..", "a/b", "a\\b"}) {
    write_index({{"a", outside}});
    EXPECT_THAT(error_of_opening(), HasSubstr("which is not beside it")) << outside;
  }
  write_index({{"a", 1}});
  EXPECT_THAT(error_of_opening(), HasSubstr("does not name a file"));
  write_index(nlohmann::json::object());
  EXPECT_THAT(error_of_opening(), HasSubstr("weight_map is empty"));
  write("model.safetensors.index.json", "{}");
  EXPECT_THAT(error_of_opening(), HasSubstr("no object weight_map"));
}

TEST_F(CheckpointTest, OpensTheGoldenLlama) {
  auto opened = open_checkpoint(source_folder() / "tests/golden/llama");
  ASSERT_TRUE(opened) << to_string(opened.error());
  const auto& config = (*opened)->as_hugging_face()->config();
  EXPECT_EQ(config["model_type"], "llama");
  const auto embedding = (*opened)->find("model.embed_tokens.weight");
  ASSERT_TRUE(embedding) << to_string(embedding.error());
  EXPECT_THAT(embedding->shape, ElementsAre(config["vocab_size"].get<int64_t>(), config["hidden_size"].get<int64_t>()));
  EXPECT_EQ(test_files::broken_promise(**opened), "");
}

}  // namespace
}  // namespace hearth
