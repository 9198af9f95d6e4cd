#pragma once

#include <gtest/gtest.h>

#include <memory>
#include <string>

#include "server/server.h"
#include "server/testing/letter_engine.h"
#include "server/testing/test_client.h"
#include "server/testing/test_text.h"

namespace hearth {

/// A server on a port of its own, with an engine that needs no model. Tests change `options` before start().
class ServerTest : public ::testing::Test {
 protected:
  ServerTest() {
    options.port = 0;
    options.load_wait = std::chrono::milliseconds(0);
    options.log_requests = false;
  }

  /// Listens, with the model still loading.
  void listen() {
    model->set_loading("resolve");
    auto started = Server::start(options, models);
    ASSERT_TRUE(started) << to_string(started.error());
    server = *std::move(started);
  }

  void start() {
    listen();
    set_ready();
  }

  ReadyModel ready_model() {
    static const Tokenizer tokenizer = make_test_tokenizer();
    static const ChatTemplate chat_template = make_test_template();
    return {.engine = &engine,
            .tokenizer = &tokenizer,
            .chat_template = &chat_template,
            .vocabulary_size = kTestVocabularySize};
  }

  /// Requests are taken, and the model goes on loading.
  void set_answering() { model->set_answering(ready_model()); }
  void set_ready() { model->set_ready(ready_model()); }

  /// Sends one request on a connection of its own.
  TestResponse get(const std::string& path, const std::string& headers = "") {
    TestClient client(server->port());
    client.get(path, headers);
    return client.read();
  }

  TestResponse post(const std::string& path, const nlohmann::json& body, const std::string& headers = "") {
    TestClient client(server->port());
    client.post(path, body.dump(), headers);
    return client.read();
  }

  static nlohmann::json chat(nlohmann::json fields = nlohmann::json::object()) {
    nlohmann::json body = {{"model", "test"}, {"messages", {{{"role", "user"}, {"content", "hello"}}}}};
    body.update(fields);
    return body;
  }

  /// The text of all chunks of a stream's body.
  static std::string streamed_text(const std::string& body) {
    std::string text;
    for (const std::string& data : event_data(body)) {
      if (data == "[DONE]") continue;
      const auto chunk = nlohmann::json::parse(data);
      if (!chunk.contains("choices") || chunk["choices"].empty()) continue;
      text += chunk["choices"][0].at("delta").value("content", "");
    }
    return text;
  }

  ServerOptions options;
  LetterEngine engine;
  std::shared_ptr<ServedModel> model = std::make_shared<ServedModel>("test", std::vector<std::string>{"alias/x"});
  std::shared_ptr<ServedModels> models = std::make_shared<ServedModels>(std::vector{model});
  std::unique_ptr<Server> server;
};

constexpr const char* kChatPath = "/v1/chat/completions";

}  // namespace hearth
