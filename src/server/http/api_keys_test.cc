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
  for (const char* key : {"alpha", "beta", "delta"}) EXPECT_TRUE(keys->user_of(std::string("Bearer ") + key)) << key;
  for (const char* key : {"# people", "gamma", "#gamma", ""}) {
    EXPECT_FALSE(keys->user_of(std::string("Bearer ") + key)) << key;
  }
}

TEST_F(ApiKeysFile, SaysWhoseKeysAreAndWhatTheyMay) {
  const auto keys = read(
      "k1 name=alice weight=2.5 max-running=8 max-waiting=0\n"
      "k2\t max-waiting=0 max-running=8 weight=2.5   name=alice\n"
      "k3 weight=0.5\nk4\n");
  ASSERT_TRUE(keys) << to_string(keys.error());
  const User* alice = keys->user_of("Bearer k1");
  ASSERT_TRUE(alice);
  EXPECT_EQ(alice->name, "alice");
  EXPECT_EQ(alice->weight, 2.5);
  EXPECT_EQ(alice->max_running, 8U);
  EXPECT_EQ(alice->max_waiting, 0U);
  EXPECT_EQ(keys->user_of("bearer k2")->id, alice->id) << "two keys of one user";
  EXPECT_EQ(keys->user_of("Bearer k3")->weight, 0.5);
  EXPECT_EQ(keys->user_of("Bearer k4")->weight, 1);
  EXPECT_TRUE(keys->user_of("Bearer k4")->name.empty());
  EXPECT_NE(keys->user_of("Bearer k3")->id, keys->user_of("Bearer k4")->id);
}

TEST_F(ApiKeysFile, WhatItDoesNotUnderstandIsAnErrorWithItsLine) {
  for (const char* line : {"key weight=0", "key weight=heavy", "key weight=1000", "key weight=nan", "key max-running=0",
                           "key max-running=-1", "key max-waiting=1.5", "key name=", "key name=\xc3\xa9",
                           "key colour=red", "key weight", "first", "key name=a weight=2"}) {
    const auto keys = read(std::string("# users\nfirst name=a\n") + line);
    ASSERT_FALSE(keys) << line;
    EXPECT_EQ(keys.error().code, ErrorCode::invalid_argument) << line;
    EXPECT_NE(keys.error().message.find(":3: "), std::string::npos) << keys.error().message;
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

TEST(ApiKeys, WithoutAnyNoneIsAskedFor) { EXPECT_FALSE(ApiKeys().are_asked_for()); }

}  // namespace
}  // namespace hearth
