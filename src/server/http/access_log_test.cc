#include "server/http/access_log.h"

#include <gtest/gtest.h>

namespace hearth {
namespace {

using std::chrono::milliseconds;

TEST(AccessLogLine, SaysHowItWentAndNotWhatWasSaid) {
  const HttpRequest request{
      .id = "7", .method = "POST", .path = "/v1/completions", .headers = {{"Authorization", "Bearer k"}}, .body = "b"};
  EXPECT_EQ(
      access_log_line(
          request, 200,
          {.prompt_tokens = 5, .cached_tokens = 2, .completion_tokens = 3, .time_to_first_token = milliseconds(4)},
          milliseconds(9)),
      "POST /v1/completions 200 9.0 ms, prompt 5 (2 cached), generated 3, first token 4 ms, id 7");
}

TEST(AccessLogLine, StaysOneLineWhateverTheClientSends) {
  const HttpRequest request{.id = "7", .method = "G\nET", .path = "/a\r\nforged " + std::string(1000, 'x')};
  const std::string line = access_log_line(request, 404, {}, milliseconds(1));
  EXPECT_EQ(line.find_first_of("\r\n"), line.npos);
  EXPECT_LT(line.size(), 200U);
}

}  // namespace
}  // namespace hearth
