// The server as its clients see it: a fake engine behind real sockets.
#include "server/server.h"

#include <gtest/gtest.h>

#include "server/testing/server_fixture.h"

namespace hearth {
namespace {

using nlohmann::json;

TEST_F(ServerTest, ListensBeforeTheModelIsLoaded) {
  listen();
  EXPECT_NE(server->port(), 0);
  EXPECT_EQ(server->url(), fmt::format("http://127.0.0.1:{}", server->port()));
  model->report({.stage = "read", .done_bytes = 1, .total_bytes = 4});
  const TestResponse health = get("/health");
  EXPECT_EQ(health.status, 503U);
  EXPECT_EQ(health.json()["fraction"], 0.25);
  EXPECT_EQ(health.json()["stage"], "read");
  EXPECT_EQ(get("/v1/models").json()["data"][0]["state"], "loading");
  EXPECT_EQ(get("/v1/models/test").json()["fraction"], 0.25);
  for (const char* path : {kChatPath, "/v1/completions", "/tokenize", "/detokenize"}) {
    const TestResponse response = post(path, chat());
    EXPECT_EQ(response.status, 503U) << path;
    EXPECT_NE(response.header("Retry-After"), "") << path;
    EXPECT_EQ(response.json()["error"]["code"], "model_loading") << path;
  }
  EXPECT_EQ(get("/metrics").status, 200U);
  set_ready();
  EXPECT_EQ(get("/health").status, 200U);
  EXPECT_EQ(post(kChatPath, chat()).status, 200U);
}

TEST_F(ServerTest, AModelWhoseDeviceWasLostIsLoadingUntilItIsReadyAgain) {
  start();
  model->set_reloading("the device was lost; opening it again");
  model->report({.stage = "read", .done_bytes = 3, .total_bytes = 4});
  const TestResponse health = get("/health");
  EXPECT_EQ(health.status, 503U);
  EXPECT_EQ(health.json()["status"], "loading");
  EXPECT_EQ(health.json()["fraction"], 0.75);
  EXPECT_EQ(post(kChatPath, chat()).json()["error"]["code"], "model_loading");
  set_ready();
  EXPECT_EQ(get("/health").status, 200U);
  EXPECT_EQ(post(kChatPath, chat()).status, 200U);
}

TEST_F(ServerTest, AModelThatFailedSaysWhy) {
  listen();
  model->set_failed({ErrorCode::corrupt, "x.gguf: truncated"});
  const TestResponse response = post(kChatPath, chat());
  EXPECT_EQ(response.status, 503U);
  EXPECT_EQ(response.json()["error"]["code"], "model_failed");
  EXPECT_NE(response.body.find("x.gguf: truncated"), std::string::npos);
}

TEST_F(ServerTest, APortInUseIsAClearErrorAndAFreedOneIsFreeAtOnce) {
  start();
  options.port = server->port();
  const auto second = Server::start(options, models);
  ASSERT_FALSE(second);
  EXPECT_EQ(second.error().code, ErrorCode::io);
  EXPECT_NE(second.error().message.find(std::to_string(options.port)), std::string::npos) << second.error().message;
  EXPECT_FALSE(second.error().hint.empty());

  TestClient client(server->port());
  client.get("/health");
  EXPECT_EQ(client.read().status, 200U);
  server.reset();  // closes first, so the port is left in TIME_WAIT
  const auto third = Server::start(options, models);
  EXPECT_TRUE(third) << to_string(third.error());
}

bool has_ipv6() {
  const int socket = ::socket(AF_INET6, SOCK_STREAM, 0);
  sockaddr_in6 address{};
  address.sin6_family = AF_INET6;
  address.sin6_addr = in6addr_loopback;
  const bool bound = socket >= 0 && ::bind(socket, reinterpret_cast<sockaddr*>(&address), sizeof address) == 0;
  if (socket >= 0) ::close(socket);
  return bound;
}

TEST_F(ServerTest, LocalhostIsBothLoopbacks) {
  options.host = "localhost";
  start();
  EXPECT_EQ(get("/health").status, 200U) << server->url();
  if (!has_ipv6()) GTEST_SKIP() << "no IPv6 here";
  TestClient client(server->port(), 0, AF_INET6);
  client.get("/health");
  EXPECT_EQ(client.read().status, 200U);
  EXPECT_EQ(server->addresses(), fmt::format("http://127.0.0.1:{0} and http://[::1]:{0}", server->port()));
  options.port = server->port();
  options.host = "::1";
  EXPECT_EQ(Server::start(options, models).error().code, ErrorCode::io) << "both are taken";
}

TEST_F(ServerTest, SaysWhenItListensOnEveryInterface) {
  for (const char* host : {"", "*", "0.0.0.0", "::"}) {
    if (std::string_view(host) == "::" && !has_ipv6()) continue;
    options.host = host;
    start();
    EXPECT_EQ(get("/health").status, 200U) << host << ": IPv4 is part of it";
    const bool is_ipv4 = std::string_view(host) == "0.0.0.0" || !has_ipv6();
    EXPECT_EQ(server->addresses(),
              server->url() + (is_ipv4 ? " (every IPv4 interface, 0.0.0.0)" : " (every interface, ::)"));
  }
  options.host = "127.0.0.1";
  start();
  EXPECT_EQ(server->addresses(), server->url());
}

TEST_F(ServerTest, AnAddressThatIsNotHereIsAnError) {
  options.host = "192.0.2.1";  // for documentation: never a machine's own
  EXPECT_EQ(Server::start(options, models).error().code, ErrorCode::io);
  options.host = "127.0.0.1";
  options.api_key_file = "/nowhere/keys";
  EXPECT_EQ(Server::start(options, models).error().code, ErrorCode::not_found);
}

TEST_F(ServerTest, ChoicesOfAPromptDifferInIdAndSeedOnly) {
  start();
  const json body = {{"prompt", {"one", "two"}}, {"n", 3}, {"max_tokens", 4}, {"seed", 5}, {"stop", "stop"},
                     {"cache_salt", "salt"}};
  const json choices = post("/v1/completions", body).json()["choices"];
  ASSERT_EQ(choices.size(), 6U);
  const auto submitted = engine.locked([&] { return engine.submitted; });
  ASSERT_EQ(submitted.size(), 6U);
  for (uint32_t i = 0; i < 6; ++i) {
    EXPECT_EQ(choices[i]["text"], LetterEngine::text(5 + i % 3, 4));
    EXPECT_TRUE(submitted[i].id.ends_with(fmt::format("-{}", i))) << submitted[i].id;
    EXPECT_EQ(submitted[i].sampling.seed, 5 + i % 3);
    EXPECT_EQ(submitted[i].prompt, submitted[i - i % 3].prompt);
    EXPECT_FALSE(submitted[i].prompt.empty());
    EXPECT_EQ(submitted[i].stop, std::vector<std::string>{"stop"});
    EXPECT_EQ(submitted[i].cache_salt, "salt");
  }
  EXPECT_NE(submitted[0].prompt, submitted[3].prompt);
}

TEST_F(ServerTest, NamesItsModels) {
  start();
  const json list = get("/v1/models").json();
  EXPECT_EQ(list["object"], "list");
  ASSERT_EQ(list["data"].size(), 2U);
  EXPECT_EQ(list["data"][0]["id"], "test");
  EXPECT_EQ(list["data"][0]["object"], "model");
  EXPECT_EQ(list["data"][0]["max_model_len"], LetterEngine::kContextLength);
  EXPECT_EQ(get("/v1/models/alias%2Fx").json()["id"], "alias/x");
  const TestResponse missing = get("/v1/models/other");
  EXPECT_EQ(missing.status, 404U);
  EXPECT_EQ(missing.json()["error"]["code"], "model_not_found");
  EXPECT_EQ(post(kChatPath, chat({{"model", "other"}})).json()["error"]["code"], "model_not_found");
  EXPECT_EQ(post(kChatPath, chat({{"model", "alias/x"}})).json()["model"], "alias/x");
  EXPECT_EQ(post(kChatPath, chat({{"model", nullptr}})).json()["model"], "test");
}

TEST_F(ServerTest, RendersTheTemplateAndKeepsControlTokensOutOfContent) {
  start();
  ASSERT_EQ(post(kChatPath, chat({{"messages", {{{"role", "user"}, {"content", "a</s>"}}}}})).status, 200U);
  std::vector<int32_t> expected = {1};
  const auto add = [&](std::string_view text) {
    for (const unsigned char byte : text) expected.push_back(byte == ' ' ? kSpaceToken : 3 + byte);
  };
  add("user: a</s>");
  expected.push_back(2);
  expected.push_back(1);
  add("assistant:");
  EXPECT_EQ(engine.locked([&] { return engine.submitted.back().prompt; }), expected);

  const TestResponse refused = post(
      kChatPath, chat({{"messages", {{{"role", "user"}, {"content", "a"}}, {{"role", "system"}, {"content", "b"}}}}}));
  EXPECT_EQ(refused.status, 400U);
  EXPECT_EQ(refused.json()["error"]["param"], "messages");
  EXPECT_NE(refused.body.find("system comes first"), std::string::npos) << refused.body;
}

TEST_F(ServerTest, ABaseModelPointsAtCompletions) {
  static const Tokenizer tokenizer = make_test_tokenizer();
  listen();
  model->set_ready({.engine = &engine, .tokenizer = &tokenizer});
  const TestResponse response = post(kChatPath, chat());
  EXPECT_EQ(response.status, 400U);
  EXPECT_NE(response.body.find("/v1/completions"), std::string::npos);
  EXPECT_EQ(post("/v1/completions", {{"prompt", "a"}}).status, 200U);
}

TEST_F(ServerTest, ATemplateThatDoesNotCompileRefusesOnlyTheChat) {
  static const Tokenizer tokenizer = make_test_tokenizer();
  const Error why{ErrorCode::unsupported, "the chat template cannot be compiled: line 2: unknown statement x"};
  listen();
  model->set_ready({.engine = &engine, .tokenizer = &tokenizer, .chat_template_error = &why});
  for (const TestResponse& response : {post(kChatPath, chat()), post("/tokenize", chat())}) {
    EXPECT_EQ(response.status, 400U);
    EXPECT_EQ(response.json()["error"]["code"], "no_chat_template");
    for (const char* words : {"line 2: unknown statement x", "--chat-template", "/v1/completions"}) {
      EXPECT_NE(response.body.find(words), std::string::npos) << response.body;
    }
  }
  EXPECT_EQ(post("/v1/completions", {{"prompt", "a"}}).status, 200U);
}

TEST_F(ServerTest, AModelWithoutTokenizerTakesTokensAndGivesTokens) {
  listen();
  model->set_ready({.engine = &engine});
  const TestResponse response =
      post("/v1/completions", {{"prompt", {5, 6}}, {"max_tokens", 2}, {"return_token_ids", true}});
  EXPECT_EQ(response.status, 200U);
  EXPECT_EQ(response.json()["choices"][0]["token_ids"], (json{3 + 'a', 3 + 'b'}));
  EXPECT_EQ(response.json()["choices"][0]["prompt_token_ids"], (json{5, 6}));
  for (const char* path : {kChatPath, "/tokenize", "/detokenize"}) EXPECT_EQ(post(path, chat()).status, 400U) << path;
}

TEST_F(ServerTest, CompletionsTakeManyPromptsAndChoices) {
  start();
  const json response =
      post("/v1/completions",
           {{"prompt", {"one", "two"}}, {"n", 2}, {"max_tokens", 4}, {"seed", 3}, {"echo", true}, {"logprobs", 1}})
          .json();
  ASSERT_EQ(response["choices"].size(), 4U);
  EXPECT_EQ(response["choices"][0]["text"], "one" + LetterEngine::text(3, 4));
  EXPECT_EQ(response["choices"][1]["text"], "one" + LetterEngine::text(4, 4));
  EXPECT_EQ(response["choices"][2]["text"], "two" + LetterEngine::text(3, 4));
  const json& logprobs = response["choices"][3]["logprobs"];
  EXPECT_EQ(logprobs["tokens"].size(), 1U + 3U + 4U) << "begin of sequence, three letters, four generated";
  EXPECT_EQ(logprobs["text_offset"], (json{0, 0, 1, 2, 3, 4, 5, 6}));
  EXPECT_EQ(response["usage"]["prompt_tokens"], 8) << "each prompt counts once";
  EXPECT_EQ(response["usage"]["completion_tokens"], 16);
}

TEST_F(ServerTest, TextsSpellControlTokensUnlessTheRequestSaysOtherwise) {
  start();
  const json parsed = {1, 3 + 'a', 2, 3 + 'b'};
  const json plain = {1, 3 + 'a', 3 + '<', 3 + '/', 3 + 's', 3 + '>', 3 + 'b'};
  const json as_text = {{"parse_special", false}};
  const auto prompt_of = [&](json fields) {
    fields["return_token_ids"] = true;
    if (!fields.contains("prompt")) fields["prompt"] = "a</s>b";
    return post("/v1/completions", fields).json()["choices"][0]["prompt_token_ids"];
  };
  EXPECT_EQ(prompt_of(json::object()), parsed);
  EXPECT_EQ(prompt_of(as_text), plain);
  EXPECT_EQ(prompt_of({{"add_special_tokens", false}}), (json{3 + 'a', 2, 3 + 'b'}));
  EXPECT_EQ(prompt_of({{"prompt", "<s>a</s>b"}}), parsed) << "not begun twice";

  EXPECT_EQ(post("/tokenize", {{"prompt", "a</s>b"}}).json()["tokens"], parsed);
  EXPECT_EQ(post("/tokenize", {{"prompt", "a</s>b"}, {"parse_special", false}}).json()["tokens"], plain);
  const json messages = chat({{"parse_special", true}});
  for (const char* path : {"/tokenize", kChatPath}) {
    EXPECT_EQ(post(path, messages).json()["error"]["param"], "parse_special") << path;
  }
}

TEST_F(ServerTest, OffsetsCountTheControlTokensThatATextSpells) {
  start();
  const auto offsets_of = [&](json fields) {
    fields.update({{"echo", true}, {"logprobs", 0}, {"max_tokens", 1}});
    return post("/v1/completions", fields).json()["choices"][0]["logprobs"]["text_offset"];
  };
  EXPECT_EQ(offsets_of({{"prompt", "a</s>b"}}), (json{0, 0, 1, 5, 6})) << "the first one is not in the text";
  EXPECT_EQ(offsets_of({{"prompt", "<s>a</s>b"}}), (json{0, 3, 4, 8, 9}));
  EXPECT_EQ(offsets_of({{"prompt", "a</s>b"}, {"add_special_tokens", false}}), (json{0, 1, 5, 6}));
  EXPECT_EQ(offsets_of({{"prompt", {1, 3 + 'a', 2, 3 + 'b'}}}), (json{0, 0, 1, 1, 2})) << "left out of the echo";
}

TEST_F(ServerTest, AScoreWithoutCompletion) {
  start();
  const json response =
      post("/v1/completions", {{"prompt", "abc"}, {"max_tokens", 0}, {"echo", true}, {"logprobs", 0}}).json();
  EXPECT_EQ(response["choices"][0]["text"], "abc");
  EXPECT_EQ(response["choices"][0]["logprobs"]["tokens"].size(), 4U);
  EXPECT_EQ(response["usage"]["completion_tokens"], 0);
}

TEST_F(ServerTest, StreamsAsOpenAiDoes) {
  start();
  const TestResponse response =
      post(kChatPath, chat({{"stream", true}, {"max_tokens", 20}, {"stream_options", {{"include_usage", true}}}}));
  EXPECT_EQ(response.status, 200U);
  EXPECT_EQ(response.header("Content-Type"), "text/event-stream; charset=utf-8");
  EXPECT_EQ(response.header("X-Accel-Buffering"), "no");
  EXPECT_TRUE(response.complete);
  EXPECT_EQ(streamed_text(response.body), LetterEngine::text(0, 20));
  const auto events = event_data(response.body);
  EXPECT_EQ(events.back(), "[DONE]");
  const json usage = json::parse(events[events.size() - 2]);
  EXPECT_EQ(usage["choices"], json::array());
  EXPECT_EQ(usage["usage"]["completion_tokens"], 20);
  EXPECT_EQ(json::parse(events.front())["choices"][0]["delta"]["role"], "assistant");
}

TEST_F(ServerTest, TokenizesAndDetokenizes) {
  start();
  const json tokens = post("/tokenize", {{"prompt", "hi"}, {"return_token_strs", true}}).json();
  EXPECT_EQ(tokens["tokens"], (json{1, 3 + 'h', 3 + 'i'}));
  EXPECT_EQ(tokens["count"], 3);
  EXPECT_EQ(tokens["max_model_len"], LetterEngine::kContextLength);
  EXPECT_EQ(tokens["token_strs"][1], "h");
  EXPECT_EQ(post("/tokenize", {{"prompt", "hi"}, {"add_special_tokens", false}}).json()["count"], 2);
  const json of_chat = post("/tokenize", chat()).json();
  EXPECT_EQ(of_chat["count"], 1 + 11 + 2 + 10) << of_chat;
  EXPECT_EQ(post("/detokenize", {{"tokens", {3 + 'h', 3 + 'i'}}}).json()["prompt"], "hi");
  EXPECT_EQ(post("/detokenize", {{"tokens", {kTestVocabularySize}}}).json()["error"]["param"], "tokens[0]");
  EXPECT_EQ(post("/tokenize", json::object()).json()["error"]["param"], "prompt");
}

TEST_F(ServerTest, LongPromptsAreHandledBesideOtherRequests) {
  start();
  const json long_chat = chat({{"messages", {{{"role", "user"}, {"content", std::string(3000, 'x')}}}}});
  EXPECT_EQ(post(kChatPath, chat({{"user", std::string(20000, 'x')}})).status, 200U);
  EXPECT_EQ(post(kChatPath, long_chat).status, 200U);
  const TestResponse too_long =
      post(kChatPath, chat({{"messages", {{{"role", "user"}, {"content", std::string(5000, 'x')}}}}}));
  EXPECT_EQ(too_long.status, 400U);
  EXPECT_EQ(too_long.json()["error"]["code"], "context_length_exceeded");
  EXPECT_EQ(too_long.json()["error"]["param"], "messages");
  const std::string message = too_long.json()["error"]["message"];
  EXPECT_TRUE(message.starts_with("This model's maximum context length is 4096 tokens. ")) << message;
  for (const char* words : {"prompt is too long", "5019"}) {
    EXPECT_NE(message.find(words), std::string::npos) << message;
  }
}

TEST_F(ServerTest, AFarTooLongPromptIsNotCountedToItsEnd) {
  start();
  const std::string text(1 << 20, 'x');
  const json chat_body = chat({{"messages", {{{"role", "user"}, {"content", text}}}}});
  for (const TestResponse& response : {post(kChatPath, chat_body), post("/v1/completions", {{"prompt", text}})}) {
    EXPECT_EQ(response.status, 400U);
    EXPECT_EQ(response.json()["error"]["code"], "context_length_exceeded");
    EXPECT_NE(response.body.find("more than 4096"), std::string::npos) << response.body;
  }
}

TEST_F(ServerTest, BrokenBodiesAre400) {
  start();
  const auto status_of = [&](const std::string& body) {
    TestClient client(server->port());
    client.post(kChatPath, body);
    const TestResponse response = client.read();
    EXPECT_EQ(response.json()["error"].size(), 4U) << body.substr(0, 50);
    return response.status;
  };
  EXPECT_EQ(status_of(""), 400U);
  EXPECT_EQ(status_of("{"), 400U);
  EXPECT_EQ(status_of("[]"), 400U);
  EXPECT_EQ(status_of("{\"messages\": \"\xff\"}"), 400U);
  EXPECT_EQ(status_of("{\"messages\": \"\\ud800\"}"), 400U);
  EXPECT_EQ(status_of("{\"n\": 1, \"n\": 2}"), 400U);
  EXPECT_EQ(status_of("{\"n\": 1e999}"), 400U);
  EXPECT_EQ(status_of("{\"messages\":" + std::string(100000, '[')), 400U);
  EXPECT_EQ(status_of("{\"messages\":" + std::string(100, '[') + std::string(100, ']') + "}"), 400U);
}

TEST_F(ServerTest, OnlyJsonStartsWork) {
  start();
  const auto status = [&](const std::string& path, const std::string& headers) {
    return post(path, path == "/detokenize" ? json{{"tokens", {5}}} : chat({{"prompt", "a"}}), headers).status;
  };
  for (const char* path : {kChatPath, "/v1/completions", "/tokenize", "/detokenize"}) {
    for (const char* type : {"text/plain", "text/plain;charset=UTF-8", "application/x-www-form-urlencoded",
                             "multipart/form-data; boundary=x", "text/plain; application/json", "json"}) {
      EXPECT_EQ(status(path, fmt::format("Content-Type: {}\r\n", type)), 415U) << path << ", " << type;
    }
    for (const char* type : {"application/json", "application/json; charset=utf-8", "Application/JSON ;x=y"}) {
      EXPECT_EQ(status(path, fmt::format("Content-Type: {}\r\n", type)), 200U) << path << ", " << type;
    }
    EXPECT_EQ(status(path, ""), 200U) << path;
    // A browser sends a blob of no type without asking first.
    EXPECT_EQ(status(path, "Origin: http://elsewhere.example\r\n"), 415U) << path;
    EXPECT_EQ(status(path, "Origin: http://elsewhere.example\r\nContent-Type: application/json\r\n"), 200U) << path;
  }
  EXPECT_EQ(engine.locked([&] { return engine.submitted.size(); }), 2U * 5U) << "nothing else reached the engine";
}

}  // namespace
}  // namespace hearth
