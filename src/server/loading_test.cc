// What clients see of models that are not there yet, or no longer.
#include <gtest/gtest.h>

#include <thread>

#include "server/testing/server_fixture.h"

namespace hearth {
namespace {

using nlohmann::json;
using std::chrono::milliseconds;

/// Does what it is told, so that tests see what was asked of it.
class FakeLoader final : public ModelLoader {
 public:
  void want(ServedModel& model) override { begin(model, "want"); }
  void load(ServedModel& model) override { begin(model, "load"); }
  void unload(ServedModel& model) override {
    calls.push_back("unload " + model.name());
    model.set_unloaded();
  }

  std::vector<std::string> calls;
  uint32_t claims_when_asked = 0;  ///< of the model of the last call

 private:
  void begin(ServedModel& model, const std::string& what) {
    calls.push_back(what + " " + model.name());
    claims_when_asked = model.claims();
    if (std::holds_alternative<NotLoaded>(model.state())) model.set_queued();
  }
};

class LoadingTest : public ServerTest {
 protected:
  LoadingTest() {
    options.load_wait = std::chrono::seconds(60);
    models = std::make_shared<ServedModels>(std::vector{model, other}, &loader);
  }

  /// A request that has been sent and is not yet answered.
  std::unique_ptr<TestClient> waiting(const json& body) {
    auto client = std::make_unique<TestClient>(server->port());
    client->post(kChatPath, body.dump());
    return client;
  }

  static void wait_for_claims(const ServedModel& model, uint32_t claims) {
    while (model.claims() != claims) std::this_thread::yield();
  }

  FakeLoader loader;
  std::shared_ptr<ServedModel> other = std::make_shared<ServedModel>("other");
};

TEST_F(LoadingTest, RequestsWaitForTheModelAndAreThenAnswered) {
  listen();
  const auto one = waiting(chat({{"seed", 1}, {"max_tokens", 4}}));
  const auto two = waiting(chat({{"seed", 2}, {"max_tokens", 4}, {"stream", true}}));
  const auto long_one = waiting(chat(
      {{"messages", {{{"role", "user"}, {"content", std::string(3000, 'a')}}}}, {"user", std::string(3000, 'u')}}));
  wait_for_claims(*model, 3);
  set_ready();
  const json answer = one->read().json();
  EXPECT_EQ(answer["choices"][0]["message"]["content"], LetterEngine::text(1, 4)) << answer;
  EXPECT_EQ(streamed_text(two->read().body), LetterEngine::text(2, 4));
  EXPECT_EQ(long_one->read().status, 200U);
  EXPECT_EQ(model->claims(), 0U);
}

TEST_F(LoadingTest, AClientThatGoesAwayLeavesItsPlace) {
  listen();
  auto gone = waiting(chat());
  wait_for_claims(*model, 1);
  gone.reset();
  wait_for_claims(*model, 0);
}

TEST_F(LoadingTest, AFailureAnswersThoseThatWait) {
  listen();
  const auto one = waiting(chat());
  const auto two = waiting(chat({{"stream", true}}));
  wait_for_claims(*model, 2);
  model->set_failed({ErrorCode::io, "the disk is gone"});
  for (const auto& client : {one.get(), two.get()}) {
    const TestResponse response = client->read();
    EXPECT_EQ(response.status, 503U);
    EXPECT_EQ(response.json()["error"]["code"], "model_failed");
    EXPECT_NE(response.body.find("the disk is gone"), std::string::npos);
  }
}

TEST_F(LoadingTest, ClientsSayHowLongTheyWait) {
  listen();
  const TestResponse now = post(kChatPath, chat(), "Prefer: wait=0\r\n");
  EXPECT_EQ(now.status, 503U);
  EXPECT_EQ(now.json()["error"]["code"], "model_loading");
  EXPECT_EQ(now.header("Retry-After"), "5");
  const auto begin = std::chrono::steady_clock::now();
  EXPECT_EQ(post(kChatPath, chat(), "Prefer: respond-async, wait=1\r\n").status, 503U);
  EXPECT_GE(std::chrono::steady_clock::now() - begin, milliseconds(900));
}

TEST_F(LoadingTest, RetryAfterIsTheTimeThatTheLoadTakes) {
  listen();
  model->report({.stage = "read", .done_bytes = 0, .total_bytes = 1000});
  std::this_thread::sleep_for(milliseconds(100));
  model->report({.stage = "read", .done_bytes = 5, .total_bytes = 1000});
  // 200 times the time so far: some twenty seconds, more where the machine is busy.
  const TestResponse response = post(kChatPath, chat(), "Prefer: wait=10\r\n");
  EXPECT_EQ(response.status, 503U) << "at once, as it will not be in time";
  EXPECT_GE(std::stoi(std::string(response.header("Retry-After"))), 19);
  EXPECT_GE(get("/health").json()["seconds_left"].get<double>(), 19);
}

TEST_F(LoadingTest, RequestsAreTakenWhileTheRestIsLoaded) {
  listen();
  const auto early = waiting(chat({{"seed", 1}, {"max_tokens", 4}}));
  wait_for_claims(*model, 1);
  set_answering();
  EXPECT_EQ(early->read().json()["choices"][0]["message"]["content"], LetterEngine::text(1, 4));
  EXPECT_EQ(post(kChatPath, chat()).status, 200U);
  EXPECT_EQ(get("/health").status, 503U);
  EXPECT_EQ(get("/v1/models/test").json()["state"], "loading");
  const ModelLease lease = model->lease_for_request();
  set_ready();
  EXPECT_EQ(model->ready(), lease) << "nobody sees a second model";
  EXPECT_EQ(get("/health").status, 200U);
}

TEST_F(LoadingTest, WhoDoesNotWaitForTheRestIsNotTaken) {
  listen();
  model->report({.stage = "read", .done_bytes = 0, .total_bytes = 1000});
  std::this_thread::sleep_for(milliseconds(100));
  model->report({.stage = "read", .done_bytes = 5, .total_bytes = 1000});
  set_answering();
  EXPECT_EQ(post(kChatPath, chat(), "Prefer: wait=10\r\n").status, 503U) << "some twenty seconds are left";
  EXPECT_EQ(post(kChatPath, chat()).status, 200U);
  model->set_failed({ErrorCode::io, "the disk is gone"});
  EXPECT_EQ(post(kChatPath, chat()).json()["error"]["code"], "model_failed");
  EXPECT_TRUE(model->wait_until_released({})) << "what was given out has come back";
}

TEST_F(LoadingTest, ARequestHasItsModelLoaded) {
  start();
  const auto client = waiting(chat({{"model", "other"}, {"max_tokens", 1}}));
  while (!std::holds_alternative<LoadStatus>(other->state())) std::this_thread::yield();  // it claims, then asks
  EXPECT_EQ(loader.calls, std::vector<std::string>{"want other"});
  EXPECT_EQ(loader.claims_when_asked, 1U) << "it could come and go before the request has said that it waits";
  EXPECT_EQ(post(kChatPath, chat()).status, 200U) << "the one that is ready answers meanwhile";
  other->set_loading("resolve");
  static const Tokenizer tokenizer = make_test_tokenizer();
  static const ChatTemplate chat_template = make_test_template();
  other->set_ready({.engine = &engine, .tokenizer = &tokenizer, .chat_template = &chat_template});
  EXPECT_EQ(client->read().json()["model"], "other");
}

TEST_F(LoadingTest, EventsTellOfALoadUntilItsEnd) {
  listen();
  TestClient client(server->port());
  client.get("/v1/load");
  std::this_thread::sleep_for(milliseconds(120));
  model->report({.stage = "read", .done_bytes = 50, .total_bytes = 100, .layer = 3, .layers = 6});
  std::this_thread::sleep_for(milliseconds(50));
  set_ready();
  const TestResponse response = client.read();
  EXPECT_EQ(response.status, 200U);
  std::vector<json> events;
  for (const std::string& data : event_data(response.body)) events.push_back(json::parse(data));
  ASSERT_GE(events.size(), 4U) << response.body;
  EXPECT_EQ(events[0]["model"], "test");
  EXPECT_EQ(events[0]["stage"], "resolve");
  EXPECT_EQ(events[1], (json{{"model", "other"}, {"state", "unloaded"}}));
  EXPECT_EQ(events[2]["fraction"], 0.5);
  EXPECT_EQ(events[2]["layer"], 3);
  EXPECT_EQ(events.back(), (json{{"model", "test"}, {"state", "ready"}}));
  EXPECT_EQ(event_data(get("/v1/models/other/load").body).size(), 1U) << "nothing is being loaded";
}

TEST_F(LoadingTest, ModelsAreLoadedUnloadedAndCancelledByName) {
  start();
  EXPECT_EQ(post("/v1/models/other/load", {}).json()["state"], "loading");
  EXPECT_EQ(post("/v1/models/alias/x/unload", {}).json()["state"], "unloaded");
  TestClient client(server->port());
  client.send("DELETE /v1/load HTTP/1.1\r\nHost: h\r\n\r\n");
  EXPECT_EQ(client.read().json()["cancelled"], json{"other"});
  EXPECT_EQ(loader.calls, (std::vector<std::string>{"load other", "unload test", "unload other"}));
  EXPECT_EQ(post("/v1/models/nobody/load", {}).status, 404U);
  EXPECT_EQ(post("/v1/models/other/burn", {}).status, 404U);
  const json list = get("/v1/models").json()["data"];
  ASSERT_EQ(list.size(), 3U);
  EXPECT_EQ(list[2]["id"], "other");
  EXPECT_EQ(list[2]["state"], "unloaded");
}

TEST_F(LoadingTest, AModelIsReleasedWhenItsLastRequestEnds) {
  start();
  engine.locked([&] { engine.paused = true; });
  const auto client = waiting(chat());
  ASSERT_TRUE(engine.wait_for([&] { return engine.running() == 1; }));
  EXPECT_TRUE(model->is_in_use());
  model->set_unloaded();
  EXPECT_EQ(get("/v1/models/test").json()["state"], "unloading");
  std::stop_source stop;
  stop.request_stop();
  EXPECT_FALSE(model->wait_until_released(stop.get_token()));
  engine.locked([&] { engine.paused = false; });
  EXPECT_EQ(client->read().status, 200U);
  EXPECT_TRUE(model->wait_until_released({}));
  EXPECT_EQ(get("/v1/models/test").json()["state"], "unloaded");
}

TEST_F(LoadingTest, AModelThatARequestWaitsForIsNotLetGo) {
  start();
  std::optional<ServedModel::Claim> claim = model->claim(1);
  EXPECT_FALSE(model->set_unloaded_unless_claimed());
  EXPECT_NE(model->ready(), nullptr);
  claim.reset();
  EXPECT_TRUE(model->set_unloaded_unless_claimed());
  EXPECT_EQ(model->ready(), nullptr);
}

TEST_F(LoadingTest, TooManyThatWaitAreRefused) {
  listen();
  std::vector<ServedModel::Claim> claims;
  for (uint32_t i = 0; i < ServedModel::kMaxClaims; ++i) claims.push_back(*model->claim(1));
  EXPECT_EQ(post(kChatPath, chat()).status, 503U);
  claims.clear();
  EXPECT_TRUE(model->claim(ServedModel::kMaxClaimedBytes));
  EXPECT_FALSE(model->claim(ServedModel::kMaxClaimedBytes + 1));
}

}  // namespace
}  // namespace hearth
