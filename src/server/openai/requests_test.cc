// What clients send, and what becomes of it: both kinds of completions against one table of rules.
#include <gtest/gtest.h>

#include <limits>
#include <random>

#include "server/testing/test_requests.h"

namespace hearth {
namespace {

using nlohmann::json;

TEST(Requests, FieldsOfTheWrongTypeOrRangeAreNamed) {
  const std::vector<std::pair<const char*, json>> bad = {
      {"model", 1},
      {"temperature", "hot"},
      {"temperature", -0.1},
      {"temperature", 2.1},
      {"top_p", 1.5},
      {"top_p", -1},
      {"top_k", -2},
      {"top_k", 1.5},
      {"min_p", 1.01},
      {"presence_penalty", 2.5},
      {"frequency_penalty", -2.5},
      {"repetition_penalty", 0},
      {"seed", 1.5},
      {"seed", "x"},
      {"n", 0},
      {"n", 9},
      {"n", true},
      {"best_of", 2},
      {"stream", "yes"},
      {"stream", 1},
      {"stop", 1},
      {"stop", ""},
      {"stop", json::array({""})},
      {"stop", json(std::vector<std::string>(17, "x"))},
      {"stop", std::string(1025, 'x')},
      {"stop", {"a", std::string(1025, 'x')}},
      {"min_tokens", -1},
      {"ignore_eos", 0},
      {"skip_special_tokens", "no"},
      {"logit_bias", json::array()},
      {"logit_bias", {{"x", 1}}},
      {"logit_bias", {{"100", 1}}},
      {"logit_bias", {{"-1", 1}}},
      {"cache_salt", 1},
      {"priority", 1.5},
      {"priority", 3000000000U},
      {"cache_salt", std::string(1025, 'x')},
      {"stream_options", {{"include_usage", true}}},
      {"max_tokens", -1},
      {"max_tokens", 1e300},
  };
  for (const auto& [name, value] : bad) {
    EXPECT_EQ(fault(chat({{name, value}})), name) << value;
    EXPECT_EQ(fault(completion({{name, value}})), name) << value;
  }
  EXPECT_TRUE(chat({{"stop", json(std::vector<std::string>(16, std::string(1024, 'x')))}}));
  EXPECT_TRUE(chat({{"cache_salt", std::string(1024, 'x')}}));
  EXPECT_EQ(fault(chat({{"stop", {"a", 1}}})), "stop[1]");
  EXPECT_EQ(fault(chat({{"stop_token_ids", {1, -1}}})), "stop_token_ids[1]");
  EXPECT_EQ(fault(chat({{"stop_token_ids", {1, 100}}})), "stop_token_ids[1]");
  EXPECT_EQ(fault(chat({{"logit_bias", {{"5", 101}}}})), "logit_bias.5");
  EXPECT_EQ(fault(chat({{"stream", true}, {"stream_options", 1}})), "stream_options");
  EXPECT_EQ(fault(chat({{"stream", true}, {"stream_options", {{"include_usage", 1}}}})),
            "stream_options.include_usage");
  EXPECT_EQ(fault(chat({{"max_tokens", 0}})), "max_tokens");
  EXPECT_EQ(fault(chat({{"max_completion_tokens", 0}})), "max_completion_tokens");
  EXPECT_EQ(fault(chat({{"max_tokens", 4}, {"min_tokens", 5}})), "min_tokens");
}

TEST(Requests, NullIsTheSameAsAbsent) {
  json nulls;
  for (const char* name : {"temperature", "top_p", "n", "seed", "stop", "stream", "stream_options", "logit_bias",
                           "tools", "logprobs", "max_tokens", "user"}) {
    nulls[name] = nullptr;
  }
  EXPECT_EQ(fault(chat(nulls)), "");
  EXPECT_EQ(fault(completion(nulls)), "");
}

TEST(Requests, SamplingIsRead) {
  const auto request = chat({{"temperature", 0},
                             {"top_p", 0.25},
                             {"top_k", -1},
                             {"min_p", 0.125},
                             {"presence_penalty", -2},
                             {"frequency_penalty", 2},
                             {"repetition_penalty", 1.5},
                             {"seed", -1},
                             {"logit_bias", {{"5", -100}, {"7", 1.5}}}});
  ASSERT_TRUE(request);
  const SamplingParams& sampling = request->params.sampling;
  EXPECT_EQ(sampling.temperature, 0.0F);
  EXPECT_EQ(sampling.top_p, 0.25F);
  EXPECT_EQ(sampling.top_k, 0U);
  EXPECT_EQ(sampling.min_p, 0.125F);
  EXPECT_EQ(sampling.presence_penalty, -2.0F);
  EXPECT_EQ(sampling.frequency_penalty, 2.0F);
  EXPECT_EQ(sampling.repetition_penalty, 1.5F);
  EXPECT_EQ(sampling.seed, std::numeric_limits<uint64_t>::max());
  EXPECT_EQ(sampling.logit_bias, (std::unordered_map<int32_t, float>{{5, -100.0F}, {7, 1.5F}}));
  // The engine's range is open at 0.
  EXPECT_GT(chat({{"top_p", 0}})->params.sampling.top_p, 0.0F);
}

TEST(Requests, OtherServersNamesAreHonoured) {
  EXPECT_EQ(chat({{"repeat_penalty", 1.5}})->params.sampling.repetition_penalty, 1.5F);
  EXPECT_EQ(chat({{"repeat_penalty", 1.5}, {"repetition_penalty", 1.25}})->params.sampling.repetition_penalty, 1.25F);
  EXPECT_EQ(fault(chat({{"repeat_penalty", 0}})), "repeat_penalty");
  EXPECT_EQ(chat({{"n_cmpl", 3}})->params.choices, 3U);
  EXPECT_EQ(chat({{"n_predict", 5}})->params.max_tokens, 5U);
  EXPECT_EQ(completion({{"n_predict", 5}})->params.max_tokens, 5U);
  EXPECT_EQ(completion({{"n_predict", -1}})->params.max_tokens, std::nullopt);
  EXPECT_EQ(completion({{"n_predict", 5}, {"max_tokens", 6}})->params.max_tokens, 6U);
  EXPECT_EQ(completion({{"max_completion_tokens", 5}})->params.max_tokens, 5U);
  EXPECT_EQ(fault(chat({{"n_predict", -2}})), "n_predict");
}

TEST(Requests, UsageInEachChunkIsAnOptionOfUsage) {
  const auto with = [](json options) { return chat({{"stream", true}, {"stream_options", std::move(options)}}); };
  EXPECT_TRUE(with({{"include_usage", true}, {"continuous_usage_stats", true}})->params.continuous_usage);
  EXPECT_FALSE(with({{"include_usage", true}})->params.continuous_usage);
  EXPECT_EQ(fault(with({{"continuous_usage_stats", true}})), "stream_options.continuous_usage_stats");
}

TEST(Requests, DefaultsAreTheModelsUnlessTheRequestSaysOtherwise) {
  const RequestLimits limits{.default_sampling = {.temperature = 0.6F, .top_k = 20, .top_p = 0.95F}};
  const auto plain = parse_chat_request(chat_body(), limits);
  EXPECT_EQ(plain->params.sampling.temperature, 0.6F);
  EXPECT_EQ(plain->params.sampling.top_k, 20U);
  const auto own = parse_chat_request(chat_body({{"temperature", 1}, {"top_k", 0}}), limits);
  EXPECT_EQ(own->params.sampling.temperature, 1.0F);
  EXPECT_EQ(own->params.sampling.top_k, 0U);
  EXPECT_EQ(own->params.sampling.top_p, 0.95F);
}

TEST(Requests, LimitsOnTokens) {
  EXPECT_EQ(completion({})->params.max_tokens, 16U);  // OpenAI's default
  EXPECT_EQ(completion({{"max_tokens", 0}})->params.max_tokens, 0U);
  EXPECT_EQ(chat({})->params.max_tokens, std::nullopt);
  EXPECT_EQ(chat({{"max_tokens", 5}})->params.max_tokens, 5U);
  EXPECT_EQ(chat({{"max_tokens", 5}, {"max_completion_tokens", 6}})->params.max_tokens, 6U);
  EXPECT_EQ(chat({{"max_tokens", 5.0}})->params.max_tokens, 5U);
}

TEST(Requests, Logprobs) {
  EXPECT_EQ(chat({})->params.logprobs, std::nullopt);
  EXPECT_EQ(chat({{"logprobs", true}})->params.logprobs, 0U);
  EXPECT_EQ(chat({{"logprobs", true}, {"top_logprobs", 20}})->params.logprobs, 20U);
  EXPECT_EQ(fault(chat({{"logprobs", true}, {"top_logprobs", 21}})), "top_logprobs");
  EXPECT_EQ(fault(chat({{"top_logprobs", 2}})), "top_logprobs");
  EXPECT_EQ(chat({{"logprobs", false}, {"top_logprobs", 0}}).value().params.logprobs, std::nullopt);
  EXPECT_EQ(chat({{"top_logprobs", 0}}).value().params.logprobs, std::nullopt);
  EXPECT_EQ(fault(chat({{"logprobs", 2}})), "logprobs");
  EXPECT_EQ(completion({{"logprobs", 2}})->params.logprobs, 2U);
  EXPECT_EQ(fault(completion({{"logprobs", true}})), "logprobs");
}

TEST(Requests, ChoicesGetSeedsOfTheirOwnThatComeOutTheSameAgain) {
  const auto request = chat({{"seed", 7}, {"max_tokens", 3}, {"stop", "x"}});
  ASSERT_TRUE(request);
  EXPECT_EQ(make_engine_request(request->params, {1, 2}, 0).sampling.seed, 7U);
  EXPECT_EQ(make_engine_request(request->params, {1, 2}, 2).sampling.seed, 9U);
  EXPECT_EQ(make_engine_request(request->params, {1, 2}, 2).stop, std::vector<std::string>{"x"});
  EXPECT_EQ(make_engine_request(request->params, {1, 2}, 0).max_tokens, 3U);
  // To the engine 0 means no limit.
  EXPECT_EQ(make_engine_request(completion({{"max_tokens", 0}})->params, {1}, 0).max_tokens, 1U);
}

TEST(Prompts, AreTextsOrTokensOrListsOfEither) {
  const auto prompts = [](json prompt) {
    return parse_completion_request({{"prompt", std::move(prompt)}}, kLimits).value().prompts;
  };
  using Ids = std::vector<int32_t>;
  EXPECT_EQ(prompts("a"), (std::vector<Prompt>{"a"}));
  EXPECT_EQ(prompts({"a", "b"}), (std::vector<Prompt>{"a", "b"}));
  EXPECT_EQ(prompts(json({1, 2})), (std::vector<Prompt>{Ids{1, 2}}));
  EXPECT_EQ(prompts(json({{1, 2}, {3}})), (std::vector<Prompt>{Ids{1, 2}, Ids{3}}));

  const auto fault_of = [](json prompt) { return fault(parse_completion_request({{"prompt", prompt}}, kLimits)); };
  EXPECT_EQ(fault(parse_completion_request(json::object(), kLimits)), "prompt");
  EXPECT_EQ(fault_of(5), "prompt");
  EXPECT_EQ(fault_of(json::array()), "prompt");
  EXPECT_EQ(fault_of(json::array({json::array()})), "prompt[0]");
  EXPECT_EQ(fault_of({1, "a"}), "prompt[1]");
  EXPECT_EQ(fault_of({"a", 1}), "prompt[1]");
  EXPECT_EQ(fault_of({1, 2.5}), "prompt[1]");
  EXPECT_EQ(fault_of({1, -2}), "prompt[1]");
  EXPECT_EQ(fault_of({1, 100}), "prompt[1]");
  EXPECT_EQ(fault_of(json(std::vector<std::string>(9, "x"))), "prompt");
  EXPECT_EQ(fault(completion({{"prompt", {"a", "b", "c"}}, {"n", 3}})), "n");
}

TEST(Prompts, NeedATokenizerToBeTexts) {
  const RequestLimits limits{.has_tokenizer = false};
  EXPECT_EQ(fault(parse_completion_request({{"prompt", "a"}}, limits)), "prompt");
  EXPECT_EQ(fault(parse_completion_request({{"prompt", {1}}}, limits)), "");
  EXPECT_EQ(fault(parse_completion_request({{"prompt", {1}}, {"stop", "x"}}, limits)), "stop");
}

TEST(Messages, AreWrittenForTheTemplate) {
  const auto request =
      parse_chat_request({{"messages",
                           {{{"role", "developer"}, {"content", "be brief"}},
                            {{"role", "user"},
                             {"name", "ann"},
                             {"content", {{{"type", "text"}, {"text", "one"}}, {{"type", "text"}, {"text", "two"}}}}},
                            {{"role", "assistant"}, {"content", nullptr}}}},
                          {"chat_template_kwargs", {{"enable_thinking", false}}},
                          {"add_generation_prompt", false}},
                         kLimits);
  ASSERT_TRUE(request) << request.error().message;
  EXPECT_EQ(request->inputs.messages, R"([{"role":"system","content":"be brief"},{"role":"user","content":"one\ntwo"},)"
                                      R"({"role":"assistant","content":""}])");
  EXPECT_EQ(request->inputs.variables, R"({"enable_thinking":false})");
  EXPECT_FALSE(request->inputs.add_generation_prompt);
}

TEST(Messages, ReasoningEffortIsAVariableOfTheTemplate) {
  const auto variables = [](json fields) { return chat(std::move(fields)).value().inputs.variables; };
  EXPECT_EQ(variables(json::object()), std::nullopt);
  EXPECT_EQ(variables({{"reasoning_effort", "low"}}), R"({"reasoning_effort":"low"})");
  EXPECT_EQ(variables({{"reasoning_effort", "low"}, {"chat_template_kwargs", {{"reasoning_effort", "high"}}}}),
            R"({"reasoning_effort":"high"})");
  EXPECT_EQ(fault(chat({{"reasoning_effort", 3}})), "reasoning_effort");
}

TEST(Messages, ThatAreWrongAreNamed) {
  const auto fault_of = [](json messages) {
    return fault(parse_chat_request({{"messages", std::move(messages)}}, kLimits));
  };
  const json user = {{"role", "user"}, {"content", "hi"}};
  EXPECT_EQ(fault(parse_chat_request(json::object(), kLimits)), "messages");
  EXPECT_EQ(fault(parse_chat_request(json::array(), kLimits)), "-");
  EXPECT_EQ(fault_of("hi"), "messages");
  EXPECT_EQ(fault_of(json::array()), "messages");
  EXPECT_EQ(fault_of({user, "hi"}), "messages[1]");
  EXPECT_EQ(fault_of({user, {{"content", "hi"}}}), "messages[1].role");
  EXPECT_EQ(fault_of({user, {{"role", "king"}, {"content", "hi"}}}), "messages[1].role");
  EXPECT_EQ(fault_of({user, {{"role", "tool"}, {"content", "hi"}}}), "messages[1].role");
  EXPECT_EQ(fault_of({{{"role", "user"}}}), "messages[0].content");
  EXPECT_EQ(fault_of({{{"role", "user"}, {"content", 5}}}), "messages[0].content");
  EXPECT_EQ(fault_of({{{"role", "user"}, {"content", {{{"type", "image_url"}, {"image_url", {{"url", "x"}}}}}}}}),
            "messages[0].content[0].type");
  EXPECT_EQ(fault_of({{{"role", "user"}, {"content", {{{"type", "text"}}}}}}), "messages[0].content[0].text");
  EXPECT_EQ(fault_of({{{"role", "assistant"}, {"tool_calls", {{{"id", "x"}}}}}}), "messages[0].tool_calls");
  EXPECT_EQ(fault(chat({{"chat_template_kwargs", {{"messages", 1}}}})), "chat_template_kwargs.messages");
}

/// Any JSON at all, mostly small.
json random_json(std::mt19937& random, int depth) {
  const auto pick = [&](int n) { return static_cast<int>(random() % static_cast<unsigned>(n)); };
  switch (pick(depth > 0 ? 8 : 6)) {
    case 0:
      return nullptr;
    case 1:
      return pick(2) == 0;
    case 2:
      return pick(7) - 3;
    case 3:
      return (pick(7) - 3) * 1e30;
    case 4:
      return std::vector<const char*>{"", "user", "text", "7", "\xC3\xA9"}[pick(5)];
    case 5:
      return std::numeric_limits<uint64_t>::max() - pick(2);
    case 6: {
      json list = json::array();
      for (int i = pick(3); i > 0; --i) list.push_back(random_json(random, depth - 1));
      return list;
    }
    default: {
      json object = json::object();
      for (const char* key : {"role", "content", "type", "text", "5"}) {
        if (pick(2) == 0) object[key] = random_json(random, depth - 1);
      }
      return object;
    }
  }
}

TEST(Requests, AnyJsonIsEitherUnderstoodOrRefusedWithAReason) {
  std::mt19937 random(1);
  const std::vector<const char*> names = {"model",
                                          "messages",
                                          "prompt",
                                          "temperature",
                                          "top_p",
                                          "top_k",
                                          "n",
                                          "stop",
                                          "logit_bias",
                                          "seed",
                                          "stream",
                                          "max_tokens",
                                          "stream_options",
                                          "logprobs",
                                          "tools",
                                          "top_logprobs",
                                          "response_format",
                                          "tool_choice",
                                          "min_tokens",
                                          "stop_token_ids",
                                          "best_of",
                                          "suffix",
                                          "chat_template_kwargs",
                                          "modalities"};
  int understood = 0;
  for (int i = 0; i < 20'000; ++i) {
    json body = i % 2 == 0 ? chat_body() : completion_body();
    for (int changes = 1 + static_cast<int>(random() % 2); changes > 0; --changes) {
      body[names[random() % names.size()]] = random_json(random, 3);
    }
    const auto as_chat = parse_chat_request(body, kLimits);
    const auto as_completion = parse_completion_request(body, kLimits);
    understood += as_chat.has_value() + as_completion.has_value();
    if (!as_chat) {
      EXPECT_EQ(as_chat.error().status, 400U) << body;
      EXPECT_FALSE(as_chat.error().message.empty()) << body;
    }
    if (as_completion) {
      EXPECT_LE(as_completion->prompts.size() * as_completion->params.choices, kLimits.max_choices) << body;
    }
  }
  EXPECT_GT(understood, 1000);
}

}  // namespace
}  // namespace hearth
