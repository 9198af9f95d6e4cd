#include "server/http/api_keys.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>

namespace hearth {
namespace {

class ApiKeysFile : public ::testing::Test {
 protected:
  Result<ApiKeys> read(const std::string& content) {
    std::ofstream(path_) << content;
    return ApiKeys::read(path_);
  }
  void TearDown() override { std::filesystem::remove(path_); }

  const std::filesystem::path path_ =
      std::filesystem::temp_directory_path() / ("hearth_api_keys_" + std::to_string(::getpid()));
};

TEST_F(ApiKeysFile, HasOneKeyALine) {
  const auto keys = read("# people\r\nalpha\r\n\n  beta  \n#gamma\ndelta");
  ASSERT_TRUE(keys);
  for (const char* key : {"alpha", "beta", "delta"}) EXPECT_TRUE(keys->admit(std::string("Bearer ") + key)) << key;
  for (const char* key : {"# people", "gamma", "#gamma", ""}) {
    EXPECT_FALSE(keys->admit(std::string("Bearer ") + key)) << key;
  }
}

TEST_F(ApiKeysFile, WithoutKeysOrWithBrokenOnesIsAnError) {
  EXPECT_EQ(read("").error().code, ErrorCode::invalid_argument);
  EXPECT_EQ(read("# nothing\n\n").error().code, ErrorCode::invalid_argument);
  const auto broken = read("good\nbad key\n");
  ASSERT_FALSE(broken);
  EXPECT_NE(broken.error().message.find(":2:"), std::string::npos) << broken.error().message;
  // An error must not show the key.
  EXPECT_EQ(broken.error().message.find("bad"), std::string::npos);
  EXPECT_EQ(ApiKeys::read("/nowhere/keys").error().code, ErrorCode::not_found);
}

TEST(ApiKeys, WithoutAnyEverybodyIsLetIn) { EXPECT_TRUE(ApiKeys().admit("")); }

}  // namespace
}  // namespace hearth
