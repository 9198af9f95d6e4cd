#include "server/http/router.h"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>
#include <stdexcept>

namespace hearth {
namespace {

Router make_router(std::vector<std::string> keys = {}, std::vector<std::string> origins = {}) {
  Router router(ApiKeys(std::move(keys)), CorsPolicy(std::move(origins)));
  const auto say = [](const char* text) { return [text](const HttpRequest&) { return HttpResponse{.body = text}; }; };
  router.add({.method = "GET", .path = "/health", .handler = say("health"), .is_open = true});
  router.add({.method = "GET", .path = "/v1/models", .handler = say("list")});
  router.add({.method = "GET", .path = "/v1/models/*", .handler = say("one")});
  router.add({.method = "POST", .path = "/v1/completions", .handler = say("completion")});
  router.add({.method = "GET", .path = "/throws", .handler = [](const HttpRequest&) -> Reply {
                throw std::runtime_error("inside");
              }});
  return router;
}

HttpResponse answer(const Router& router, std::string method, std::string path, Headers headers = {}) {
  return std::get<HttpResponse>(
      router.answer({.method = std::move(method), .path = std::move(path), .headers = std::move(headers)}));
}

nlohmann::json error_of(const HttpResponse& response) { return nlohmann::json::parse(response.body).at("error"); }

TEST(Router, FindsHandlersByMethodAndPath) {
  const Router router = make_router();
  EXPECT_EQ(answer(router, "GET", "/v1/models").body, "list");
  EXPECT_EQ(answer(router, "GET", "/v1/models/org/name").body, "one");
  EXPECT_EQ(answer(router, "HEAD", "/v1/models").body, "list");
  EXPECT_EQ(answer(router, "POST", "/v1/completions").body, "completion");
}

TEST(Router, SaysNoWithTheFourKeysOfAnError) {
  const Router router = make_router();
  const HttpResponse missing = answer(router, "GET", "/nowhere\n");
  EXPECT_EQ(missing.status, 404U);
  EXPECT_EQ(error_of(missing).size(), 4U);
  EXPECT_EQ(error_of(missing)["message"], "No such path: /nowhere\\x0a");
  EXPECT_TRUE(error_of(missing)["param"].is_null());

  const HttpResponse wrong_method = answer(router, "GET", "/v1/completions");
  EXPECT_EQ(wrong_method.status, 405U);
  EXPECT_EQ(find_header(wrong_method.headers, "Allow"), "OPTIONS, POST");
  EXPECT_EQ(find_header(answer(router, "PUT", "/v1/models").headers, "Allow"), "OPTIONS, GET, HEAD");
}

TEST(Router, ExceptionsBecome500) {
  const HttpResponse response = answer(make_router(), "GET", "/throws");
  EXPECT_EQ(response.status, 500U);
  EXPECT_EQ(error_of(response)["type"], "server_error");
}

TEST(Router, AsksForKeysButNotOnOpenPaths) {
  const Router router = make_router({"secret", "other"});
  EXPECT_EQ(answer(router, "GET", "/health").status, 200U);
  EXPECT_EQ(answer(router, "GET", "/v1/models").status, 401U);
  EXPECT_EQ(error_of(answer(router, "GET", "/v1/models"))["code"], "invalid_api_key");
  // Who has no key does not learn which paths there are.
  EXPECT_EQ(answer(router, "GET", "/nowhere").status, 401U);
  for (const char* wrong : {"secret", "Bearer", "Bearer ", "Bearer secre", "Bearer secrets", "Bearer secretsecret",
                            "Basic secret", "Bearer secret other"}) {
    EXPECT_EQ(answer(router, "GET", "/v1/models", {{"Authorization", wrong}}).status, 401U) << wrong;
  }
  for (const char* right : {"Bearer secret", "bearer other", "Bearer   secret "}) {
    EXPECT_EQ(answer(router, "GET", "/v1/models", {{"authorization", right}}).status, 200U) << right;
  }
}

TEST(Router, TakesNewKeysInPlaceOfTheOldOnes) {
  Router router = make_router({"old"});
  router.set_keys(ApiKeys({"new"}));
  EXPECT_EQ(answer(router, "GET", "/v1/models", {{"Authorization", "Bearer old"}}).status, 401U);
  EXPECT_EQ(answer(router, "GET", "/v1/models", {{"Authorization", "Bearer new"}}).status, 200U);
}

TEST(Router, AnswersPreflightsOfAllowedOriginsWithoutAKey) {
  const Router router = make_router({"secret"}, {"https://chat.example"});
  const auto preflight = [&](const char* origin) {
    return answer(router, "OPTIONS", "/v1/completions",
                  {{"Origin", origin},
                   {"Access-Control-Request-Method", "POST"},
                   {"Access-Control-Request-Headers", "authorization"}});
  };
  const HttpResponse allowed = preflight("https://chat.example");
  EXPECT_EQ(allowed.status, 204U);
  EXPECT_EQ(find_header(allowed.headers, "Access-Control-Allow-Origin"), "https://chat.example");
  EXPECT_EQ(find_header(allowed.headers, "Access-Control-Allow-Headers"), "authorization");
  EXPECT_EQ(find_header(preflight("https://evil.example").headers, "Access-Control-Allow-Origin"), "");
}

TEST(CorsPolicy, AllowsWhatItIsTold) {
  EXPECT_TRUE(CorsPolicy().headers("https://a").empty());
  EXPECT_EQ(find_header(CorsPolicy({"*"}).headers("https://a"), "Access-Control-Allow-Origin"), "https://a");
  const CorsPolicy one({"https://a"});
  EXPECT_EQ(find_header(one.headers("https://a"), "Vary"), "Origin");
  EXPECT_EQ(find_header(one.headers("https://b"), "Vary"), "Origin");
  EXPECT_EQ(find_header(one.headers("https://a.evil"), "Access-Control-Allow-Origin"), "");
  EXPECT_EQ(find_header(one.headers(""), "Access-Control-Allow-Origin"), "");
}

}  // namespace
}  // namespace hearth
