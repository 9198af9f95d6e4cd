#include "server/http/message.h"

#include <gtest/gtest.h>

#include "server/http/wire.h"

namespace hearth {
namespace {

TEST(TargetPath, LosesQueryEscapesAndTheSlashAtItsEnd) {
  EXPECT_EQ(target_path("/v1/models"), "/v1/models");
  EXPECT_EQ(target_path("/v1/models/"), "/v1/models");
  EXPECT_EQ(target_path("/"), "/");
  EXPECT_EQ(target_path("/v1/models/a%2Fb%20c?x=1#y"), "/v1/models/a/b c");
  EXPECT_EQ(target_path("http://host:80/health?x"), "/health");
  EXPECT_EQ(target_path("http://host"), "/");
  EXPECT_EQ(target_path("HTTPS://host?x=/health"), "/");
  EXPECT_EQ(target_path("*"), "*");
}

TEST(TargetPath, IsEmptyWhenMalformed) {
  for (const char* target : {"/%", "/%4", "/%zz", "/a%00b", "health", "host:80", "http:///health", "http://?x",
                             "ftp://host/health", "*/x", "?x"}) {
    EXPECT_EQ(target_path(target), "") << target;
  }
}

TEST(FindHeader, IgnoresCase) {
  const Headers headers = {{"Content-Type", "a"}, {"content-type", "b"}};
  EXPECT_EQ(find_header(headers, "CONTENT-TYPE"), "a");
  EXPECT_EQ(find_header(headers, "Content"), "");
}

TEST(ResponseBytes, HeadHasTheHeadersOfGetAndNoBody) {
  const HttpResponse response{.body = "{}"};
  const std::string get = response_bytes(response, {{"x-request-id", "7"}}, {});
  const std::string head = response_bytes(response, {{"x-request-id", "7"}}, {.head_only = true});
  EXPECT_EQ(get, head + "{}");
  EXPECT_TRUE(get.starts_with("HTTP/1.1 200 OK\r\n"));
  EXPECT_NE(get.find("Content-Length: 2\r\n"), std::string::npos);
  EXPECT_NE(get.find("x-request-id: 7\r\n"), std::string::npos);
}

TEST(ResponseBytes, AHeaderThatTheResponseHasStandsOnce) {
  const HttpResponse response{.headers = {{"Vary", "Accept"}}};
  const std::string bytes = response_bytes(response, {{"vary", "Origin"}, {"x-request-id", "7"}}, {});
  EXPECT_NE(bytes.find("Vary: Accept\r\n"), std::string::npos);
  EXPECT_EQ(bytes.find("vary: Origin"), std::string::npos);
  EXPECT_NE(bytes.find("x-request-id: 7\r\n"), std::string::npos);
}

TEST(StreamChunk, IsChunkedForHttp11AndPlainForHttp10) {
  EXPECT_EQ(stream_chunk(std::string(26, 'x'), {}), "1a\r\n" + std::string(26, 'x') + "\r\n");
  EXPECT_EQ(stream_chunk("x", {.minor_version = 0}), "x");
  // An empty chunk would end the stream.
  EXPECT_EQ(stream_chunk("", {}), "");
  EXPECT_EQ(stream_end({}), "0\r\n\r\n");
  EXPECT_EQ(stream_end({.minor_version = 0}), "");
}

}  // namespace
}  // namespace hearth
