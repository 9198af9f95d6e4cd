// Bodies of requests, over real sockets: how large they may be, and how much of them is kept how long.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <vector>

#include "server/testing/server_fixture.h"

namespace hearth {
namespace {

class BodiesTest : public ServerTest {};

TEST_F(BodiesTest, RefusesWhatIsTooLarge) {
  options.max_body_bytes = 1000;
  options.max_header_bytes = 2000;
  start();
  const TestResponse body = post(kChatPath, chat({{"user", std::string(1000, 'x')}}));
  EXPECT_EQ(body.status, 413U);
  EXPECT_EQ(body.json()["error"].size(), 4U);

  TestClient chunked(server->port());
  chunked.send(fmt::format("POST {} HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n7d0\r\n{}\r\n", kChatPath,
                           std::string(2000, ' ')));
  EXPECT_EQ(chunked.read().status, 413U);
  EXPECT_TRUE(chunked.is_closed_by_server());

  EXPECT_EQ(get("/health", "X: " + std::string(3000, 'x') + "\r\n").status, 431U);
  EXPECT_EQ(get(std::string(3000, '/')).status, 431U);
  EXPECT_EQ(get("/health", "X: " + std::string(1000, 'x') + "\r\n").status, 200U);
}

TEST_F(BodiesTest, DeclaredBodiesCloseTheApiForNobody) {
  start();
  std::vector<std::unique_ptr<TestClient>> idle;
  for (int i = 0; i < 32; ++i) {
    idle.push_back(std::make_unique<TestClient>(server->port()));
    idle.back()->send(fmt::format("POST {} HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: {}\r\n\r\n",
                                  kChatPath, options.max_body_bytes));
    ASSERT_EQ(idle.back()->read().status, 100U);
  }
  EXPECT_EQ(post(kChatPath, chat({{"max_tokens", 2}})).status, 200U);
  EXPECT_EQ(post(kChatPath, chat({{"user", std::string(1 << 20, 'x')}, {"max_tokens", 2}})).status, 200U);
}

TEST_F(BodiesTest, RefusesAFloodOfLargeBodies) {
  options.max_body_bytes = 1000;
  options.max_buffered_body_bytes = 1500;
  start();
  const std::string head = fmt::format("POST {} HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n", kChatPath);
  TestClient first(server->port());
  first.send(head + "\r\n" + std::string(900, ' '));
  TestResponse refused;
  for (int i = 0; i < 1000 && refused.status != 503; ++i) {  // until what was sent has been read
    TestClient second(server->port());
    second.send(head + "Expect: 100-continue\r\n\r\n");
    refused = second.read();
  }
  EXPECT_EQ(refused.status, 503U);
  EXPECT_EQ(refused.header("Retry-After"), "1");
  // In chunks nothing is declared, so it shows only when it comes.
  TestClient chunked(server->port());
  chunked.send(fmt::format("POST {} HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n3e8\r\n{}", kChatPath,
                           std::string(1000, ' ')));
  EXPECT_EQ(chunked.read().status, 503U);
  EXPECT_TRUE(chunked.is_closed_by_server());
  first.send(std::string(100, ' '));
  EXPECT_EQ(first.read().status, 400U);
  EXPECT_EQ(post(kChatPath, chat({{"user", std::string(800, 'x')}, {"max_tokens", 2}})).status, 200U)
      << "the room is free again";
}

TEST_F(BodiesTest, ABodyIsHeldNoLongerThanItTakesToParseIt) {
  options.max_buffered_body_bytes = 1500;
  engine.paused = true;
  start();
  const std::string large = chat({{"user", std::string(1000, 'x')}, {"max_tokens", 2}}).dump();
  std::vector<std::unique_ptr<TestClient>> clients;
  for (size_t i = 1; i <= 3; ++i) {
    clients.push_back(std::make_unique<TestClient>(server->port()));
    clients.back()->post(kChatPath, large);
    ASSERT_TRUE(engine.wait_for([&] { return engine.running() == i; })) << "the answer of the one before still goes on";
  }
  engine.locked([&] { engine.paused = false; });
  for (const auto& client : clients) EXPECT_EQ(client->read().status, 200U);
}

}  // namespace
}  // namespace hearth
