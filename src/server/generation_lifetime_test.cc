// What becomes of requests whose clients, engine or server do not last: over real sockets, with a fake engine.
#include <gtest/gtest.h>

#include <chrono>
#include <future>
#include <thread>

#include "server/testing/server_fixture.h"

namespace hearth {
namespace {

using nlohmann::json;
using std::chrono::milliseconds;

class GenerationLifetimeTest : public ServerTest {};

TEST_F(GenerationLifetimeTest, AFailureIsAStatusUntilTheStreamHasBegun) {
  engine.paused = true;
  engine.failure = Error{ErrorCode::device_lost, "the GPU stopped answering"};
  start();
  EXPECT_EQ(post(kChatPath, chat()).status, 503U);
  EXPECT_EQ(post(kChatPath, chat({{"stream", true}})).status, 503U);

  engine.locked([&] {
    engine.failure.reset();
    engine.paused = false;
  });
  TestClient client(server->port());
  client.post(kChatPath, chat({{"stream", true}, {"max_tokens", 1000000}}).dump());
  ASSERT_TRUE(client.read_until("content"));
  engine.locked([&] { engine.failure = Error{ErrorCode::device_lost, "the GPU stopped answering"}; });
  const TestResponse response = client.read();
  EXPECT_EQ(response.status, 200U);
  const json last = json::parse(event_data(response.body).back());
  EXPECT_EQ(last["error"]["code"], "device_lost");
  EXPECT_TRUE(response.complete) << "the stream ends as HTTP wants it";
}

TEST_F(GenerationLifetimeTest, AClientThatGoesAwayCancelsItsRequests) {
  engine.paused = true;
  start();
  for (const bool stream : {false, true}) {
    const uint32_t before = engine.locked([&] { return engine.cancelled; });
    TestClient client(server->port());
    client.post(kChatPath, chat({{"stream", stream}, {"n", 3}}).dump());
    ASSERT_TRUE(engine.wait_for([&] { return engine.running() == 3; }));
    client.close();
    EXPECT_TRUE(engine.wait_for([&] { return engine.cancelled == before + 3 && engine.running() == 0; }));
  }
  engine.locked([&] { engine.paused = false; });
  TestClient client(server->port());
  client.post(kChatPath, chat({{"stream", true}, {"max_tokens", 1000000}}).dump());
  ASSERT_TRUE(client.read_until("content"));
  client.close();
  EXPECT_TRUE(engine.wait_for([&] { return engine.running() == 0; })) << "in the middle of a stream";
}

TEST_F(GenerationLifetimeTest, ASlowReaderIsDroppedAndOthersAreNot) {
  // More than all that the other one generates, so that being late on a busy machine does not cost it its stream.
  options.max_unsent_bytes = 5'000'000;
  engine.text_of_a_token = std::string(20'000, 'x');
  start();
  TestClient slow(server->port(), 4096);
  slow.post(kChatPath, chat({{"stream", true}, {"max_tokens", 1'000'000}}).dump());
  ASSERT_TRUE(slow.read_until("content"));
  TestClient other(server->port());
  other.post(kChatPath, chat({{"stream", true}, {"max_tokens", 200}}).dump());
  const TestResponse response = other.read();
  EXPECT_EQ(streamed_text(response.body).size(), 200U * 20'000U);
  EXPECT_TRUE(engine.wait_for([&] { return engine.running() == 0; }));
  EXPECT_EQ(engine.locked([&] { return engine.cancelled; }), 1U);
}

TEST_F(GenerationLifetimeTest, AReaderThatTakesNothingTimesOut) {
  options.write_timeout = milliseconds(100);
  options.max_unsent_bytes = 1 << 30;
  engine.text_of_a_token = std::string(20'000, 'x');
  start();
  TestClient slow(server->port(), 4096);
  slow.post(kChatPath, chat({{"stream", true}, {"max_tokens", 1'000'000}}).dump());
  EXPECT_TRUE(engine.wait_for([&] { return engine.running() == 1; }));
  EXPECT_TRUE(engine.wait_for([&] { return engine.running() == 0; }));
}

TEST_F(GenerationLifetimeTest, StreamsThatWaitAreKeptAlive) {
  options.keep_alive_interval = milliseconds(20);
  engine.paused = true;
  start();
  TestClient client(server->port());
  client.post(kChatPath, chat({{"stream", true}, {"max_tokens", 2}}).dump());
  ASSERT_TRUE(client.read_until(": keep-alive\n\n\r\n"));
  engine.locked([&] { engine.paused = false; });
  const TestResponse response = client.read();
  EXPECT_EQ(response.status, 200U);
  EXPECT_EQ(streamed_text(response.body), LetterEngine::text(0, 2));
  EXPECT_TRUE(response.body.starts_with(": keep-alive\n\n"));

  // Once comments have been sent, errors can only come as events.
  engine.locked([&] { engine.paused = true; });
  TestClient failing(server->port());
  failing.post(kChatPath, chat({{"stream", true}}).dump());
  ASSERT_TRUE(failing.read_until(": keep-alive\n\n\r\n"));
  engine.locked([&] { engine.failure = Error{ErrorCode::internal, "broken"}; });
  const TestResponse failed = failing.read();
  EXPECT_EQ(failed.status, 200U);
  EXPECT_EQ(json::parse(event_data(failed.body).back())["error"]["code"], "internal_error");
}

TEST_F(GenerationLifetimeTest, RequestsEndInTime) {
  options.request_timeout = milliseconds(50);
  engine.paused = true;
  start();
  const TestResponse response = post(kChatPath, chat());
  EXPECT_EQ(response.status, 504U);
  EXPECT_EQ(response.json()["error"]["code"], "timeout");
  EXPECT_TRUE(engine.wait_for([&] { return engine.running() == 0; }));
}

TEST_F(GenerationLifetimeTest, SixtyFourStreamsAtOnce) {
  start();
  constexpr int kClients = 64, kTokens = 100;
  std::vector<std::unique_ptr<TestClient>> clients;
  for (int i = 0; i < kClients; ++i) {
    clients.push_back(std::make_unique<TestClient>(server->port()));
    ASSERT_TRUE(clients.back()->connected());
    clients.back()->post(kChatPath, chat({{"stream", true}, {"max_tokens", kTokens}, {"seed", i}}).dump());
  }
  for (int i = 0; i < kClients; ++i) {
    const TestResponse response = clients[i]->read();
    EXPECT_TRUE(response.complete) << i;
    EXPECT_EQ(streamed_text(response.body), LetterEngine::text(i, kTokens)) << i;
  }
}

TEST_F(GenerationLifetimeTest, DrainLetsRequestsFinish) {
  engine.paused = true;
  start();
  TestClient idle(server->port());
  idle.get("/health");
  EXPECT_EQ(idle.read().status, 200U);
  TestClient stream(server->port());
  stream.post(kChatPath, chat({{"stream", true}, {"max_tokens", 5}}).dump());
  TestClient whole(server->port());
  whole.post(kChatPath, chat({{"max_tokens", 5}}).dump());
  ASSERT_TRUE(engine.wait_for([&] { return engine.running() == 2; }));

  auto drained = std::async(std::launch::async, [&] { return server->drain(std::chrono::minutes(1)); });
  EXPECT_TRUE(idle.is_closed_by_server());
  EXPECT_FALSE(TestClient(server->port()).connected()) << "the port is closed";
  engine.locked([&] { engine.paused = false; });
  EXPECT_EQ(streamed_text(stream.read().body), LetterEngine::text(0, 5));
  const TestResponse response = whole.read();
  EXPECT_EQ(response.json()["choices"][0]["message"]["content"], LetterEngine::text(0, 5));
  EXPECT_EQ(response.header("Connection"), "close");
  EXPECT_TRUE(drained.get());
}

TEST_F(GenerationLifetimeTest, DrainCancelsWhatTakesTooLong) {
  start();
  TestClient stream(server->port());
  stream.post(kChatPath, chat({{"stream", true}, {"max_tokens", 1'000'000}}).dump());
  ASSERT_TRUE(stream.read_until("content"));
  engine.locked([&] { engine.paused = true; });
  TestClient whole(server->port());
  whole.post(kChatPath, chat().dump());
  ASSERT_TRUE(engine.wait_for([&] { return engine.running() == 2; }));
  EXPECT_FALSE(server->drain(milliseconds(50)));
  EXPECT_EQ(whole.read().status, 503U);
  EXPECT_EQ(json::parse(event_data(stream.read().body).back())["error"]["code"], "cancelled");
  EXPECT_TRUE(engine.wait_for([&] { return engine.running() == 0; }));
}

TEST_F(GenerationLifetimeTest, ADrainCanBeCutShort) {
  engine.paused = true;
  start();
  TestClient client(server->port());
  client.post(kChatPath, chat().dump());
  ASSERT_TRUE(engine.wait_for([&] { return engine.running() == 1; }));
  auto drained = std::async(std::launch::async, [&] { return server->drain(std::chrono::hours(1)); });
  server->stop_draining();
  EXPECT_FALSE(drained.get());
  EXPECT_EQ(client.read().status, 503U);
}

TEST_F(GenerationLifetimeTest, EndsWithRequestsStillRunning) {
  engine.paused = true;
  start();
  TestClient client(server->port());
  client.post(kChatPath, chat({{"stream", true}}).dump());
  ASSERT_TRUE(engine.wait_for([&] { return engine.running() == 1; }));
  server.reset();
  EXPECT_TRUE(engine.wait_for([&] { return engine.running() == 0; }));
  EXPECT_TRUE(client.is_closed_by_server());
}

}  // namespace
}  // namespace hearth
