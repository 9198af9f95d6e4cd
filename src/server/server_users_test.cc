// Whose requests they are, what users may, and what they are told when they must wait.

#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>

#include "server/testing/server_fixture.h"

namespace hearth {
namespace {

TEST_F(ServerTest, KeysAreAskedForWhereTheyShouldBe) {
  const auto path = std::filesystem::temp_directory_path() / fmt::format("hearth_server_keys_{}", ::getpid());
  std::ofstream(path) << "secret\n";
  options.api_key_file = path;
  start();
  std::filesystem::remove(path);
  for (const char* open : {"/health", "/ping", "/metrics", "/version"}) EXPECT_EQ(get(open).status, 200U) << open;
  EXPECT_EQ(get("/v1/models").status, 401U);
  EXPECT_EQ(get("/v1/models").header("WWW-Authenticate"), "Bearer");
  EXPECT_EQ(get("/v1/models", "Authorization: Bearer secret\r\n").status, 200U);
  EXPECT_EQ(post(kChatPath, chat()).status, 401U);
  EXPECT_EQ(post("/tokenize", chat()).status, 401U);
  EXPECT_EQ(post(kChatPath, chat(), "Authorization: Bearer secret\r\n").status, 200U);
}

TEST_F(ServerTest, RequestsAreTheirKeysUsers) {
  const std::string path = testing::TempDir() + "hearth_server_users_" + std::to_string(::getpid());
  std::ofstream(path) << "secret name=alice weight=2\nother\n";
  options.api_key_file = path;
  start();
  std::filesystem::remove(path);
  EXPECT_EQ(post(kChatPath, chat({{"priority", -3}}), "Authorization: Bearer secret\r\n").status, 200U);
  EXPECT_EQ(post(kChatPath, chat(), "Authorization: Bearer other\r\n").status, 200U);
  ASSERT_EQ(engine.submitted.size(), 2U);
  EXPECT_EQ(engine.submitted[0].user.name, "alice");
  EXPECT_EQ(engine.submitted[0].user.weight, 2);
  EXPECT_EQ(engine.submitted[0].priority, -3);
  EXPECT_NE(engine.submitted[0].user.id, engine.submitted[1].user.id);
  EXPECT_EQ(engine.submitted[1].priority, 0);
}

TEST_F(ServerTest, WithoutKeysAnAddressIsAUser) {
  start();
  EXPECT_EQ(post(kChatPath, chat()).status, 200U);
  ASSERT_EQ(engine.submitted.size(), 1U);
  EXPECT_EQ(engine.submitted[0].user.id, "address 127.0.0.1");
  EXPECT_TRUE(engine.submitted[0].user.name.empty()) << "addresses are in no metric";
}

TEST_F(ServerTest, AFullQueueIs429) {
  engine.refusal = Error{ErrorCode::overloaded, "256 requests are waiting"};
  start();
  for (const bool stream : {false, true}) {
    engine.queue_seconds = stream ? 0 : 6.2;
    const TestResponse response = post(kChatPath, chat({{"stream", stream}}));
    EXPECT_EQ(response.status, 429U);
    EXPECT_EQ(response.header("Retry-After"), stream ? "1" : "7") << "what the queue takes";
    EXPECT_EQ(response.json()["error"]["code"], "rate_limit_exceeded");
  }
}

}  // namespace
}  // namespace hearth
