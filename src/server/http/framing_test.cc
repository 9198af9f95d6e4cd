// Where a request begins and ends, by RFC 9112: what two readers could understand differently is refused and the
// connection closed, since a proxy in front would take the rest for another request than this server does.
#include <gtest/gtest.h>

#include "server/testing/server_fixture.h"

namespace hearth {
namespace {

class FramingTest : public ServerTest {
 protected:
  /// The status of the answer to these bytes.
  unsigned status_of(const std::string& bytes) {
    TestClient client(server->port());
    client.send(bytes);
    return client.read().status;
  }

  /// The same, where no request may follow.
  unsigned last_status_of(const std::string& bytes) {
    TestClient client(server->port());
    client.send(bytes + "GET /health HTTP/1.1\r\nHost: smuggled\r\n\r\n");
    const unsigned status = client.read().status;
    EXPECT_TRUE(client.is_closed_by_server()) << bytes;
    return status;
  }

  static std::string chunk(std::string_view bytes, std::string_view extension = "") {
    return fmt::format("{:x}{}\r\n{}\r\n", bytes.size(), extension, bytes);
  }

  const std::string body = chat({{"max_tokens", 2}}).dump();
  const std::string post = fmt::format("POST {} HTTP/1.1\r\nHost: x\r\n", kChatPath);
  const std::string chunked = post + "Transfer-Encoding: chunked\r\n\r\n";
};

TEST_F(FramingTest, EmptyLinesBeforeARequestAreSkipped) {
  start();
  EXPECT_EQ(status_of("\r\nGET /health HTTP/1.1\r\nHost: x\r\n\r\n"), 200U);
  TestClient client(server->port());
  client.send("\r\n\r");
  client.send("\n\r\nGET /health HTTP/1.1\r\nHost: x\r\n\r\n");
  EXPECT_EQ(client.read().status, 200U);
  // Old clients send one behind a body, which no length counts.
  client.post(kChatPath, body);
  client.send("\r\nGET /health HTTP/1.1\r\nHost: x\r\n\r\n");
  EXPECT_EQ(client.read().json()["choices"][0]["message"]["content"], LetterEngine::text(0, 2));
  EXPECT_EQ(client.read().json()["status"], "ok");
  EXPECT_EQ(status_of("\rGET /health HTTP/1.1\r\nHost: x\r\n\r\n"), 400U);
  EXPECT_EQ(status_of(" \r\nGET /health HTTP/1.1\r\nHost: x\r\n\r\n"), 400U);
}

TEST_F(FramingTest, EmptyLinesDoNotKeepAConnection) {
  options.header_timeout = std::chrono::milliseconds(50);
  start();
  TestClient client(server->port());
  client.send("\r\n\r\n\r");
  EXPECT_TRUE(client.is_closed_by_server());
}

TEST_F(FramingTest, TransferCodingsAreChunkedOrRefused) {
  start();
  const auto coding = [&](const std::string& headers, const std::string& version = "1.1") {
    return last_status_of(fmt::format("POST {} HTTP/{}\r\nHost: x\r\n{}\r\n0\r\n\r\n", kChatPath, version, headers));
  };
  EXPECT_EQ(coding("Transfer-Encoding: gzip, chunked\r\n"), 501U);
  EXPECT_EQ(coding("Transfer-Encoding: gzip\r\nTransfer-Encoding: chunked\r\n"), 501U);
  EXPECT_EQ(coding("Transfer-Encoding: gzip\r\n"), 400U) << "where it ends nobody knows";
  EXPECT_EQ(coding("Transfer-Encoding: identity\r\nContent-Length: 5\r\n"), 400U);
  EXPECT_EQ(coding("Transfer-Encoding: xchunked\r\n"), 400U);
  EXPECT_EQ(coding("Transfer-Encoding: chunked, gzip\r\n"), 400U);
  EXPECT_EQ(coding("Transfer-Encoding: chunked\r\nTransfer-Encoding: gzip\r\n"), 400U);
  EXPECT_EQ(coding("Transfer-Encoding: chunked, chunked\r\n"), 400U);
  EXPECT_EQ(coding("Transfer-Encoding: \r\n"), 400U);
  EXPECT_EQ(coding("Transfer-Encoding : chunked\r\n"), 400U);
  EXPECT_EQ(coding("Transfer-Encoding: chunked\r\nContent-Length: 5\r\n"), 400U);
  EXPECT_EQ(coding("Content-Length: 5\r\nTransfer-Encoding: chunked\r\n"), 400U);
  EXPECT_EQ(coding("Transfer-Encoding: chunked\r\n", "1.0"), 400U) << "HTTP/1.0 has no chunks";
  EXPECT_EQ(status_of(post + "Transfer-Encoding: , Chunked\r\n\r\n" + chunk(body) + "0\r\n\r\n"), 200U);
}

TEST_F(FramingTest, LengthsAreNumbersThatAgree) {
  start();
  for (const char* length : {"", "x", "+2", "-2", "0x2", "2 2", "2;", "2,3", "99999999999999999999"}) {
    EXPECT_EQ(last_status_of(fmt::format("{}Content-Length: {}\r\n\r\n{{}}", post, length)), 400U) << length;
  }
  EXPECT_EQ(last_status_of(post + "Content-Length: 2\r\nContent-Length: 3\r\n\r\n{}"), 400U);
  EXPECT_EQ(last_status_of(post + "Content-Length : 2\r\n\r\n{}"), 400U);
  const size_t length = body.size();
  EXPECT_EQ(status_of(fmt::format("{}Content-Length: {}, {}\r\n\r\n{}", post, length, length, body)), 200U);
}

TEST_F(FramingTest, HeaderLinesAreWhole) {
  start();
  const auto with = [&](const std::string& line) {
    return last_status_of(fmt::format("GET /health HTTP/1.1\r\nHost: x\r\n{}\r\n", line));
  };
  EXPECT_EQ(with(": nameless\r\n"), 400U);
  EXPECT_EQ(with("Na me: x\r\n"), 400U);
  EXPECT_EQ(with("Name: a\rb\r\n"), 400U);
  EXPECT_EQ(with("Name: a\nContent-Length: 5\r\n"), 400U) << "a bare line feed ends no line";
  EXPECT_EQ(with(std::string("Name: a\0b\r\n", 11)), 400U);
  EXPECT_EQ(last_status_of("GET /health HTTP/1.1\r\n Host: x\r\n\r\n"), 400U);
  EXPECT_EQ(last_status_of("GET /health HTTP/1.1\nHost: x\n\n"), 400U);
}

TEST_F(FramingTest, FoldedLinesAreOneLine) {
  start();
  const std::string next = "GET /health HTTP/1.1\r\nHost: x\r\n\r\n";
  TestClient client(server->port());
  client.send(post + "Transfer-Encoding:\r\n chunked\r\n\r\n" + chunk(body) + "0\r\n\r\n" + next);
  EXPECT_EQ(client.read().json()["choices"][0]["message"]["content"], LetterEngine::text(0, 2));
  EXPECT_EQ(client.read().json()["status"], "ok");
  client.send("GET /version HTTP/1.1\r\nHost: x\r\nName: a\r\n\tContent-Length: 5\r\n\r\n" + next);
  EXPECT_TRUE(client.read().json().contains("version"));
  EXPECT_EQ(client.read().json()["status"], "ok") << "a length inside of another header is none";
}

TEST_F(FramingTest, ChunksAreWellFormedAndMostlyBody) {
  start();
  const std::string end = "0\r\n\r\n";
  EXPECT_EQ(status_of(chunked + chunk(body, ";a=b") + end), 200U);
  EXPECT_EQ(status_of(chunked + chunk(body) + "0;a=\"b\"\r\nTrailer: x\r\n\r\n"), 200U);
  std::string bytewise = chunked;
  for (const char byte : body) bytewise += chunk({&byte, 1});
  EXPECT_EQ(status_of(bytewise + end), 200U);
  for (const std::string& bad :
       {std::string("0x5\r\nhello\r\n"), std::string("-1\r\n"), std::string("fffffffffffffffff\r\n"),
        std::string("5\r\nhelloworld\r\n"), std::string("\r\n"), std::string("2\n{}\r\n"),
        chunk("{}") + "0\r\nContent-Length: 5\r\n\r\n", chunk("{}") + "0\r\nbroken\r\n\r\n"}) {
    EXPECT_EQ(last_status_of(chunked + bad + end), 400U) << bad;
  }
  EXPECT_EQ(last_status_of(chunked + chunk(body, ";a=" + std::string(200'000, 'x'))), 400U);
  std::string extended = chunked;
  for (int i = 0; i < 100; ++i) extended += chunk(" ", ";a=" + std::string(1000, 'x'));
  EXPECT_EQ(last_status_of(extended), 400U) << "each is short, but what is dropped has no end";
  EXPECT_EQ(last_status_of(chunked + chunk(body) + "0\r\nTrailer: " + std::string(200'000, 'x') + "\r\n\r\n"), 400U);
}

TEST_F(FramingTest, VersionsAreTheTwoOfHttp1) {
  start();
  EXPECT_EQ(last_status_of("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"), 505U);
  EXPECT_EQ(last_status_of("GET /health HTTP/1.2\r\nHost: x\r\n\r\n"), 505U);
  EXPECT_EQ(last_status_of("GET /health\r\n\r\n"), 400U);
  // What HTTP/1.0 does not know is not sent to it.
  TestClient old(server->port());
  old.send(
      fmt::format("POST {} HTTP/1.0\r\nExpect: 100-continue\r\nContent-Length: {}\r\n\r\n", kChatPath, body.size()));
  old.send(body);
  EXPECT_EQ(old.read().status, 200U);
}

TEST_F(FramingTest, TargetsHaveTheFormsOfTheStandard) {
  start();
  const auto request = [&](const std::string& start_line, const std::string& headers = "Host: x\r\n") {
    return status_of(fmt::format("{} HTTP/1.1\r\n{}\r\n", start_line, headers));
  };
  EXPECT_EQ(request("GET http://elsewhere:80/health?x"), 200U);
  EXPECT_EQ(request("GET HTTP://elsewhere"), 200U);
  EXPECT_EQ(request("GET http:///health"), 400U);
  EXPECT_EQ(request("GET health"), 400U);
  EXPECT_EQ(request("GET *"), 400U);
  EXPECT_EQ(request("CONNECT elsewhere:443"), 501U);
  EXPECT_EQ(request("OPTIONS *"), 204U);
  EXPECT_EQ(request("GET /health", "Host: [::1]:8080\r\n"), 200U);
  EXPECT_EQ(request("GET /health", "Host:\r\n"), 200U);
  EXPECT_EQ(request("GET /health", "Host: a b\r\n"), 400U);
  EXPECT_EQ(request("GET /health", "Host: a/b\r\n"), 400U);
  EXPECT_EQ(status_of("GET /health HTTP/1.0\r\nHost: a\r\nHost: b\r\n\r\n"), 400U);
}

TEST_F(FramingTest, AnswersToHeadHaveNoBodyWhateverTheyAre) {
  start();
  TestClient client(server->port());
  for (const auto& [target, status] : {std::pair("/health", 200U), {"/nowhere", 404U}, {"/v1/completions", 405U}}) {
    client.send(fmt::format("HEAD {} HTTP/1.1\r\nHost: x\r\n\r\n", target));
    const TestResponse head = client.read(true);
    EXPECT_EQ(head.status, status);
    EXPECT_NE(head.header("Content-Length"), "");
  }
  client.get("/health");
  EXPECT_EQ(client.read().json()["status"], "ok") << "nothing of the others' bodies was on the way";
}

}  // namespace
}  // namespace hearth
