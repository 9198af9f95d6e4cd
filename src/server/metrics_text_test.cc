#include "server/metrics_text.h"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "server/health.h"
#include "server/testing/letter_engine.h"
#include "server/testing/loading_model.h"

namespace hearth {
namespace {

using nlohmann::json;

TEST(MetricsText, HasTheNamesThatRoutersRead) {
  LetterEngine engine;
  const LoadingModel model("m");
  model->set_ready({.engine = &engine});
  const std::string text = metrics_text(model.models, {});
  for (const char* name :
       {"vllm:num_requests_running", "vllm:num_requests_waiting", "vllm:kv_cache_usage_perc", "vllm:cache_config_info",
        "vllm:lora_requests_info", "vllm:prefix_cache_queries_total", "vllm:prefix_cache_hits_total",
        "vllm:num_preemptions_total", "vllm:prompt_tokens_total", "vllm:generation_tokens_total",
        "vllm:request_success_total", "vllm:gpu_cache_usage_perc", "vllm:gpu_prefix_cache_hits_total",
        "vllm:gpu_prefix_cache_queries_total", "hearth:kv_cache_resizes_total"}) {
    EXPECT_NE(text.find(std::string("\n") + name + "{model_name=\"m\""), std::string::npos) << name;
  }
  for (const char* name :
       {"vllm:time_to_first_token_seconds", "vllm:inter_token_latency_seconds", "vllm:e2e_request_latency_seconds",
        "vllm:request_queue_time_seconds", "vllm:request_prefill_time_seconds", "vllm:request_decode_time_seconds",
        "vllm:request_inference_time_seconds"}) {
    EXPECT_NE(text.find(std::string("# TYPE ") + name + " histogram"), std::string::npos) << name;
    EXPECT_NE(text.find(std::string(name) + "_bucket{model_name=\"m\",le=\"+Inf\"} 0"), std::string::npos) << name;
  }
  EXPECT_NE(text.find("vllm:kv_cache_usage_perc{model_name=\"m\"} 0.25"), std::string::npos);
  EXPECT_NE(text.find("block_size=\"16\",num_gpu_blocks=\"100\""), std::string::npos);
}

TEST(MetricsText, CountsRequestsEvenBeforeTheModelIsReady) {
  const LoadingModel model("m");
  RequestCounters counters;
  counters.count("/health", 503);
  counters.count("/health", 503);
  const std::string text = metrics_text(model.models, counters);
  EXPECT_NE(text.find("hearth:model_ready{model_name=\"m\"} 0"), std::string::npos) << text;
  EXPECT_NE(text.find("hearth:http_requests_total{path=\"/health\",status=\"503\"} 2"), std::string::npos) << text;
  EXPECT_EQ(text.find("vllm:"), std::string::npos);
}

TEST(Metrics, TellOfTheDevicesBufferPool) {
  const LoadingModel model("m");
  LetterEngine engine;
  model->set_ready({.engine = &engine});
  const std::string text = metrics_text(model.models, {});
  const std::string labels = "{model_name=\"m\",buffer_bytes=\"1048576\"} ";
  for (const char* line : {"capacity 32", "allocated 3", "in_use 2", "taken_total 17"}) {
    const std::string name = std::string(line).substr(0, std::string(line).find(' '));
    const std::string value = std::string(line).substr(name.size() + 1);
    EXPECT_NE(text.find("hearth:buffer_pool_" + name + labels + value), std::string::npos) << line << "\n" << text;
  }
}

TEST(Metrics, TellWhatADevicesMemoryIsFor) {
  const LoadingModel model("m");
  LetterEngine engine;
  model->set_ready({.engine = &engine});
  const std::string text = metrics_text(model.models, {});
  for (const char* line : {"weights\"} 1000", "cache\"} 200", "activations\"} 30", "staging\"} 4"}) {
    const std::string whole = std::string("hearth:device_memory_bytes{model_name=\"m\",device=\"cpu\",owner=\"") + line;
    EXPECT_NE(text.find(whole), std::string::npos) << whole << "\n" << text;
  }
}

TEST(Health, FollowsTheModel) {
  const LoadingModel model("m");
  EXPECT_EQ(health(model.models).status, 503U);
  model->report({.stage = "read", .done_bytes = 25, .total_bytes = 100, .layer = 1, .layers = 4});
  const HttpResponse loading = health(model.models);
  EXPECT_EQ(loading.status, 503U);
  EXPECT_EQ(json::parse(loading.body)["stage"], "read");
  EXPECT_EQ(json::parse(loading.body)["fraction"], 0.25);
  LetterEngine engine;
  model->set_ready({.engine = &engine});
  EXPECT_EQ(health(model.models).status, 200U);
  model->report({.stage = "late"});
  model->set_failed({ErrorCode::io, "late"});
  EXPECT_EQ(health(model.models).status, 200U) << "there is no way back";
}

TEST(Health, OfSeveralModelsIsThatOfTheBestAndNamesEach) {
  const auto a = std::make_shared<ServedModel>("a");
  const auto b = std::make_shared<ServedModel>("b");
  const ServedModels models({a, b});
  EXPECT_EQ(health(models).status, 200U) << "they are loaded when they are asked for";
  a->set_loading("read");
  EXPECT_EQ(health(models).status, 503U);
  b->set_loading("read");
  b->set_failed({ErrorCode::io, "the disk is gone"});
  const json body = json::parse(health(models).body);
  EXPECT_EQ(body["status"], "loading");
  EXPECT_EQ(body["models"]["a"]["state"], "loading");
  EXPECT_EQ(body["models"]["b"]["error"], "the disk is gone");
  LetterEngine engine;
  a->set_ready({.engine = &engine});
  EXPECT_EQ(health(models).status, 200U);
  EXPECT_EQ(json::parse(health(models).body)["status"], "ok");
}

TEST(MetricsText, TellOfEachModelAndOfLoads) {
  LetterEngine engine;
  const auto a = std::make_shared<ServedModel>("a");
  const auto b = std::make_shared<ServedModel>("b");
  a->set_loading("resolve");
  a->set_ready({.engine = &engine});
  b->set_loading("resolve");
  b->report({.stage = "read", .done_bytes = 25, .total_bytes = 100});
  const std::string text = metrics_text(ServedModels({a, b}), {});
  for (const char* line :
       {"hearth:model_ready{model_name=\"a\"} 1\nhearth:model_ready{model_name=\"b\"} 0",
        "hearth:load_done_bytes{model_name=\"b\"} 25", "vllm:num_requests_running{model_name=\"a\"} 0"}) {
    EXPECT_NE(text.find(line), std::string::npos) << line << "\n" << text;
  }
}

TEST(Health, NamesWhatFailed) {
  const LoadingModel model("m");
  model->set_failed({ErrorCode::corrupt, "x.gguf: truncated", "download it again"});
  EXPECT_EQ(health(model.models).status, 503U);
  EXPECT_EQ(json::parse(health(model.models).body)["status"], "failed");
  EXPECT_EQ(json::parse(health(model.models).body)["error"], "x.gguf: truncated; download it again");
}

}  // namespace
}  // namespace hearth
