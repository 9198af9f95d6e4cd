// How connections behave, over real sockets.
#include <gtest/gtest.h>

#include <algorithm>
#include <boost/asio/post.hpp>
#include <cctype>
#include <chrono>
#include <future>
#include <set>
#include <thread>

#include "server/http/listener.h"
#include "server/testing/server_fixture.h"

namespace hearth {
namespace {

using nlohmann::json;
using std::chrono::milliseconds;
using std::string_literals::operator""s;

class ConnectionTest : public ServerTest {};

TEST_F(ConnectionTest, AnswersSeveralRequestsOneAfterAnother) {
  start();
  TestClient client(server->port());
  for (int i = 0; i < 3; ++i) {
    client.get("/version");
    const TestResponse response = client.read();
    EXPECT_EQ(response.status, 200U);
    EXPECT_TRUE(response.json().contains("version"));
    EXPECT_EQ(response.header("x-request-id").size(), 32U);
  }
  client.get("/version", "Connection: close\r\n");
  EXPECT_EQ(client.read().header("Connection"), "close");
  EXPECT_TRUE(client.is_closed_by_server());
}

TEST_F(ConnectionTest, AnswersPipelinedRequestsInOrder) {
  start();
  TestClient client(server->port());
  const std::string chat_body = chat({{"max_tokens", 50}, {"seed", 1}}).dump();
  std::string requests = "GET /version HTTP/1.1\r\nHost: x\r\n\r\n";
  requests += fmt::format("POST {} HTTP/1.1\r\nHost: x\r\nContent-Length: {}\r\n\r\n{}", kChatPath, chat_body.size(),
                          chat_body);
  requests += "GET /health HTTP/1.1\r\nHost: x\r\n\r\n";
  client.send(requests);
  EXPECT_TRUE(client.read().json().contains("version"));
  EXPECT_EQ(client.read().json()["choices"][0]["message"]["content"], LetterEngine::text(1, 50));
  EXPECT_EQ(client.read().json()["status"], "ok");
}

TEST_F(ConnectionTest, KeepsARequestThatArrivesWhileAnotherIsBeingAnswered) {
  engine.paused = true;
  start();
  TestClient client(server->port());
  client.post(kChatPath, chat({{"max_tokens", 3}}).dump());
  ASSERT_TRUE(engine.wait_for([&] { return engine.running() == 1; }));
  client.get("/nowhere");
  std::this_thread::sleep_for(milliseconds(20));
  client.send("GET /health HTTP/1.1\r\nHost: x\r\n\r\n");
  std::this_thread::sleep_for(milliseconds(20));
  engine.locked([&] { engine.paused = false; });
  EXPECT_EQ(client.read().json()["choices"][0]["message"]["content"], LetterEngine::text(0, 3));
  EXPECT_EQ(client.read().status, 404U);
  EXPECT_EQ(client.read().status, 200U);
}

TEST_F(ConnectionTest, TakesChunkedBodies) {
  start();
  TestClient client(server->port());
  const std::string body = chat({{"max_tokens", 3}}).dump();
  client.send(fmt::format("POST {} HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n", kChatPath));
  for (const std::string& part : {body.substr(0, 10), body.substr(10)}) {
    client.send(fmt::format("{:x}\r\n{}\r\n", part.size(), part));
    std::this_thread::sleep_for(milliseconds(5));
  }
  client.send("0\r\n\r\n");
  EXPECT_EQ(client.read().status, 200U);
}

TEST_F(ConnectionTest, InvitesBodiesThatWaitForIt) {
  start();
  TestClient client(server->port());
  const std::string body = chat({{"max_tokens", 3}}).dump();
  const auto head = [&](const char* path, size_t length) {
    return fmt::format("POST {} HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: {}\r\n\r\n", path,
                       length);
  };
  client.send(head(kChatPath, body.size()));
  EXPECT_EQ(client.read().status, 100U);
  client.send(body);
  EXPECT_EQ(client.read().status, 200U);
  // What will be refused is not invited.
  client.send(head("/nowhere", 10));
  EXPECT_EQ(client.read().status, 404U);
  TestClient large(server->port());
  large.send(head(kChatPath, options.max_body_bytes + 1));
  EXPECT_EQ(large.read().status, 413U);
}

TEST_F(ConnectionTest, AnswersTimeoutsOfSlowSenders) {
  options.header_timeout = milliseconds(50);
  options.body_timeout = milliseconds(50);
  start();
  TestClient headers(server->port());
  headers.send("GET /health HTTP/1.1\r\nHost:");
  EXPECT_EQ(headers.read().status, 408U);
  EXPECT_TRUE(headers.is_closed_by_server());
  TestClient body(server->port());
  body.send(fmt::format("POST {} HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\nabc", kChatPath));
  EXPECT_EQ(body.read().status, 408U);
  EXPECT_TRUE(body.is_closed_by_server());
  TestClient silent(server->port());
  EXPECT_TRUE(silent.is_closed_by_server());
}

TEST_F(ConnectionTest, ABodyThatTricklesHasADeadline) {
  options.body_timeout = milliseconds(100);
  start();
  TestClient client(server->port());
  client.send(fmt::format("POST {} HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\n", kChatPath));
  // The server closes its side at once and takes what still comes for two seconds.
  for (int i = 0; i < 60 && client.send(" "); ++i) std::this_thread::sleep_for(milliseconds(5));
  EXPECT_EQ(client.read().status, 408U);
}

TEST_F(ConnectionTest, AnAnswerThatIsTakenBitByBitHasADeadline) {
  options.write_timeout = milliseconds(300);
  options.min_read_bytes_per_second = 1 << 30;
  engine.text_of_a_token = std::string(1 << 20, 'x');
  start();
  TestClient client(server->port(), 4096);
  client.post(kChatPath, chat({{"max_tokens", 32}}).dump());
  // Something moves all the time, but the whole would take minutes.
  ASSERT_TRUE(client.read_until("HTTP/1.1 200"));
  bool dropped = false;
  for (int i = 0; i < 100 && !dropped; ++i) {
    std::this_thread::sleep_for(milliseconds(20));
    dropped = !client.receive_some();
  }
  EXPECT_TRUE(dropped);
}

TEST_F(ConnectionTest, ClosesIdleConnections) {
  options.idle_timeout = milliseconds(50);
  start();
  TestClient client(server->port());
  client.get("/health");
  EXPECT_EQ(client.read().status, 200U);
  EXPECT_TRUE(client.is_closed_by_server());
}

TEST_F(ConnectionTest, RefusesWhatIsNotHttp) {
  start();
  const auto status_of = [&](const std::string& bytes) {
    TestClient client(server->port());
    client.send(bytes);
    return client.read().status;
  };
  EXPECT_EQ(status_of("hello\r\n\r\n"), 400U);
  EXPECT_EQ(status_of("\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03 tls hello\r\n\r\n"s), 400U);
  EXPECT_EQ(status_of("GET /health HTTP/1.1\r\n\r\n"), 400U) << "no Host";
  EXPECT_EQ(status_of("GET /health HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n"), 400U);
  EXPECT_EQ(status_of("GET /%zz HTTP/1.1\r\nHost: a\r\n\r\n"), 400U);
  EXPECT_EQ(status_of("GET /health HTTP/1.1\r\nHost: a\r\nBroken header\r\n\r\n"), 400U);
  // Two lengths that disagree are how requests are smuggled past proxies.
  const std::string post = "POST /v1/completions HTTP/1.1\r\nHost: a\r\n";
  EXPECT_EQ(status_of(post + "Content-Length: 2\r\nContent-Length: 3\r\n\r\n{}"), 400U);
  EXPECT_EQ(status_of(post + "Content-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n{}"), 400U);
  EXPECT_EQ(status_of(post + "Content-Length: -1\r\n\r\n{}"), 400U);
  EXPECT_EQ(status_of(post + "Transfer-Encoding: gzip, chunked\r\n\r\n"), 501U);
  EXPECT_EQ(status_of(post + "Transfer-Encoding: chunked\r\n\r\nzz\r\n"), 400U);
  EXPECT_EQ(status_of(post + "Content-Encoding: gzip\r\nContent-Length: 2\r\n\r\n{}"), 415U);
  EXPECT_EQ(status_of(post + "Expect: gold\r\nContent-Length: 2\r\n\r\n{}"), 417U);
  EXPECT_EQ(get("/health").status, 200U);
}

TEST_F(ConnectionTest, SpeaksHttp10) {
  start();
  TestClient plain(server->port());
  plain.send("GET /health HTTP/1.0\r\n\r\n");
  EXPECT_EQ(plain.read().status, 200U);
  EXPECT_TRUE(plain.is_closed_by_server());
  TestClient stream(server->port());
  const std::string body = chat({{"stream", true}, {"max_tokens", 5}}).dump();
  stream.send(fmt::format("POST {} HTTP/1.0\r\nContent-Length: {}\r\n\r\n{}", kChatPath, body.size(), body));
  const TestResponse response = stream.read();
  EXPECT_EQ(response.header("Transfer-Encoding"), "");
  EXPECT_TRUE(response.complete);
  EXPECT_EQ(streamed_text(response.body), LetterEngine::text(0, 5));
}

TEST_F(ConnectionTest, HeadHasNoBodyAndOptionsSayWhatIsAllowed) {
  start();
  TestClient client(server->port());
  client.send("HEAD /v1/models HTTP/1.1\r\nHost: x\r\n\r\n");
  const TestResponse head = client.read(true);
  EXPECT_EQ(head.status, 200U);
  EXPECT_GT(std::stoi(std::string(head.header("Content-Length"))), 10);
  client.send("OPTIONS /v1/chat/completions HTTP/1.1\r\nHost: x\r\n\r\n");
  const TestResponse options_response = client.read();
  EXPECT_EQ(options_response.status, 204U);
  EXPECT_EQ(options_response.header("Allow"), "OPTIONS, POST");
}

/// An answer that is written on another thread, for as long as the test wants.
class LongReply final : public PendingReply {
 public:
  LongReply(std::promise<void>& begun, std::shared_future<void> may_end)
      : begun_(begun), may_end_(std::move(may_end)) {}
  void start(std::function<void()> wake) override { wake(); }
  bool take_is_long() const override { return true; }
  ReplyPart take() override {
    begun_.set_value();
    may_end_.wait_for(std::chrono::seconds(20));
    return {.response = HttpResponse{.body = std::string(100'000, 'x')}};
  }
  ReplyPart abandon(const Error&) override { return {.response = HttpResponse{.status = 503}}; }
  bool is_event_stream() const override { return false; }
  bool is_overflowing() const override { return false; }
  ReplyStatistics statistics() const override { return {}; }

 private:
  std::promise<void>& begun_;
  const std::shared_future<void> may_end_;
};

TEST(Connection, OthersAreAnsweredWhileALongAnswerIsWritten) {
  std::promise<void> begun, may_end;
  Router router({}, {});
  router.add({"GET", "/quick", [](const HttpRequest&) { return HttpResponse{.body = "quick"}; }});
  router.add({"GET", "/long", [&begun, written = may_end.get_future().share()](const HttpRequest&) {
                return std::make_unique<LongReply>(begun, written);
              }});
  ServerOptions options{.port = 0, .log_requests = false};
  RequestCounters counters;
  boost::asio::io_context io;
  boost::asio::thread_pool workers(1), formatters(1);
  ConnectionContext context{workers, formatters, router, options, counters};
  Listener listener(io, context);
  ASSERT_TRUE(listener.listen());
  listener.start();
  std::jthread thread([&] { io.run(); });
  const uint16_t port = listener.endpoints().front().port();
  {
    TestClient waiting(port), other(port);
    waiting.get("/long");
    begun.get_future().wait();
    other.get("/quick");
    EXPECT_EQ(other.read().body, "quick");
    may_end.set_value();
    EXPECT_EQ(waiting.read().body, std::string(100'000, 'x'));
  }
  boost::asio::post(io, [&] { listener.stop(); });
}

TEST_F(ConnectionTest, TurnsAwayConnectionsBeyondTheLimit) {
  options.max_connections = 2;
  start();
  TestClient first(server->port());
  first.get("/version");
  EXPECT_EQ(first.read().status, 200U);
  {
    TestClient second(server->port());
    second.get("/version");
    EXPECT_EQ(second.read().status, 200U);
    TestClient third(server->port());
    const TestResponse refused = third.read();
    EXPECT_EQ(refused.status, 503U);
    EXPECT_EQ(refused.header("Retry-After"), "1");
  }
  unsigned status = 503;
  while (status == 503) {
    std::this_thread::sleep_for(milliseconds(1));
    TestClient again(server->port());
    again.get("/version");
    status = again.read().status;
  }
  EXPECT_EQ(status, 200U) << "a connection that ended makes room";
}

/// The name of a header that stands twice: a browser takes two Access-Control-Allow-Origin for none.
std::string repeated_header(const TestResponse& response) {
  std::set<std::string> names;
  for (auto [name, value] : response.headers) {
    std::ranges::transform(name, name.begin(), [](unsigned char c) { return std::tolower(c); });
    if (!names.insert(name).second) return name;
  }
  return "";
}

TEST_F(ConnectionTest, APreflightIsAnsweredOnceAndWhole) {
  options.cors_origins = {"https://chat.example"};
  start();
  const auto preflight = [&](const std::string& origin) {
    TestClient client(server->port());
    client.send(
        fmt::format("OPTIONS {} HTTP/1.1\r\nHost: x\r\nOrigin: {}\r\nAccess-Control-Request-Method: POST\r\n"
                    "Access-Control-Request-Headers: authorization,content-type\r\n\r\n",
                    kChatPath, origin));
    return client.read();
  };
  const TestResponse allowed = preflight("https://chat.example");
  EXPECT_EQ(allowed.status, 204U);
  EXPECT_EQ(repeated_header(allowed), "");
  EXPECT_EQ(allowed.header("Access-Control-Allow-Origin"), "https://chat.example");
  EXPECT_EQ(allowed.header("Access-Control-Allow-Headers"), "authorization,content-type");
  EXPECT_NE(allowed.header("Access-Control-Allow-Methods").find("POST"), std::string_view::npos);
  const TestResponse refused = preflight("https://evil.example");
  EXPECT_EQ(repeated_header(refused), "");
  EXPECT_EQ(refused.header("Access-Control-Allow-Origin"), "");
}

TEST_F(ConnectionTest, CorsHeadersAreOnEveryAnswerAlsoOnStreams) {
  options.cors_origins = {"https://chat.example"};
  start();
  const std::string origin = "Origin: https://chat.example\r\n";
  for (const TestResponse& response :
       {get("/v1/models", origin), get("/nowhere", origin), post(kChatPath, chat({{"stream", true}}), origin)}) {
    EXPECT_EQ(response.header("Access-Control-Allow-Origin"), "https://chat.example") << response.status;
    EXPECT_EQ(repeated_header(response), "") << response.status;
  }
  EXPECT_EQ(get("/v1/models", "Origin: https://evil.example\r\n").header("Access-Control-Allow-Origin"), "");
}

}  // namespace
}  // namespace hearth
