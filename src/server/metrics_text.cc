#include "server/metrics_text.h"

#include <prometheus/client_metric.h>
#include <prometheus/metric_family.h>
#include <prometheus/text_serializer.h>

#include <algorithm>
#include <array>
#include <limits>
#include <utility>
#include <vector>

#include "engine/engine.h"
#include "engine/metrics.h"

namespace hearth {
namespace {

using prometheus::ClientMetric;
using prometheus::MetricFamily;
using prometheus::MetricType;
using Labels = std::vector<ClientMetric::Label>;

/// vLLM's names of what FinishReason counts, in its order.
constexpr std::array kFinishedReasons = {"stop", "length", "abort", "error"};

ClientMetric::Histogram to_prometheus(const Histogram& histogram) {
  ClientMetric::Histogram out;
  for (size_t i = 0; i < histogram.counts().size(); ++i) {
    out.sample_count += histogram.counts()[i];
    const double bound =
        i < histogram.bounds().size() ? histogram.bounds()[i] : std::numeric_limits<double>::infinity();
    out.bucket.push_back({.cumulative_count = out.sample_count, .upper_bound = bound});
  }
  out.sample_sum = histogram.sum();
  return out;
}

/// Collects families; each metric carries the labels that are common to what is added, and its own.
class Families {
 public:
  void set_common(Labels common) { common_ = std::move(common); }

  void gauge(const char* name, const char* help, double value, Labels labels = {}) {
    add(name, help, MetricType::Gauge, std::move(labels)).gauge.value = value;
  }

  void counter(const char* name, const char* help, double value, Labels labels = {}) {
    add(name, help, MetricType::Counter, std::move(labels)).counter.value = value;
  }

  void histogram(const char* name, const char* help, const Histogram& histogram) {
    add(name, help, MetricType::Histogram, {}).histogram = to_prometheus(histogram);
  }

  std::string text() const { return prometheus::TextSerializer().Serialize(families_); }

 private:
  ClientMetric& add(const char* name, const char* help, MetricType type, Labels labels) {
    auto family = std::ranges::find(families_, name, &MetricFamily::name);
    if (family == families_.end()) {
      family = families_.insert(family, {.name = name, .help = help, .type = type, .metric = {}});
    }
    ClientMetric& metric = family->metric.emplace_back();
    metric.label = common_;
    metric.label.insert(metric.label.end(), labels.begin(), labels.end());
    return metric;
  }

  Labels common_;
  std::vector<MetricFamily> families_;
};

void add_state(Families& out, const EngineMetrics& metrics) {
  const double usage =
      metrics.kv_blocks_total > 0 ? double(metrics.kv_blocks_used) / double(metrics.kv_blocks_total) : 0.0;
  out.gauge("vllm:num_requests_running", "Requests in the batch", metrics.requests_running);
  out.gauge("vllm:num_requests_waiting", "Requests in the queue", metrics.requests_waiting);
  out.gauge("hearth:queue_seconds", "Seconds that the prompts which are there will take", metrics.queue_seconds);
  out.gauge("vllm:kv_cache_usage_perc", "Share of the KV cache in use, 0 to 1", usage);
  out.gauge("vllm:gpu_cache_usage_perc", "The same under its older name", usage);
  out.gauge(
      "vllm:cache_config_info", "Shape of the KV cache, in labels", 1,
      {{"block_size", std::to_string(kBlockTokens)}, {"num_gpu_blocks", std::to_string(metrics.kv_blocks_total)}});
  out.gauge("vllm:lora_requests_info", "LoRA adapters, of which there are none", 0,
            {{"max_lora", "0"}, {"running_lora_adapters", ""}, {"waiting_lora_adapters", ""}});
}

void add_totals(Families& out, const EngineMetrics& metrics) {
  out.counter("vllm:num_preemptions_total", "Requests that lost their KV blocks to older ones", metrics.preemptions);
  out.counter("hearth:kv_cache_resizes_total", "Times that the KV cache shrank for want of memory, or grew back",
              metrics.cache_resizes);
  out.counter("vllm:prompt_tokens_total", "Prompt tokens of requests", metrics.prompt_tokens);
  out.counter("vllm:generation_tokens_total", "Tokens generated", metrics.generation_tokens);
  out.counter("vllm:prefix_cache_queries_total", "Prompt tokens looked up in the prefix cache",
              metrics.prefix_cache_queries);
  out.counter("vllm:prefix_cache_hits_total", "Prompt tokens found there", metrics.prefix_cache_hits);
  out.counter("vllm:gpu_prefix_cache_queries_total", "The same under its older name", metrics.prefix_cache_queries);
  out.counter("vllm:gpu_prefix_cache_hits_total", "The same under its older name", metrics.prefix_cache_hits);
  for (size_t i = 0; i < kFinishedReasons.size(); ++i) {
    out.counter("vllm:request_success_total", "Finished requests", metrics.finished[i],
                {{"finished_reason", kFinishedReasons[i]}});
  }
}

/// By the names in the file of API keys, never by keys.
void add_users(Families& out, const EngineMetrics& metrics) {
  for (const auto& [name, tokens] : metrics.users) {
    out.counter("hearth:user_prompt_tokens_total", "Prompt tokens of a user's requests", tokens.prompt_tokens,
                {{"user", name}});
  }
  for (const auto& [name, tokens] : metrics.users) {
    out.counter("hearth:user_generation_tokens_total", "Tokens generated for a user", tokens.generation_tokens,
                {{"user", name}});
  }
}

void add_memory_use(Families& out, const EngineMetrics& metrics) {
  for (const DeviceMemoryUse& device : metrics.memory_use) {
    for (size_t owner = 0; owner < kMemoryOwners.size(); ++owner) {
      out.gauge("hearth:device_memory_bytes", "What a device has allocated, by what it is for",
                static_cast<double>(device.use.bytes[owner]),
                {{"device", device.device}, {"owner", std::string(kMemoryOwners[owner])}});
    }
  }
}

void add_buffer_pools(Families& out, const EngineMetrics& metrics) {
  const auto gauge = [&](const char* name, const char* help, auto value) {
    for (const BufferPoolStatistics& pool : metrics.buffer_pools) {
      out.gauge(name, help, static_cast<double>(value(pool)), {{"buffer_bytes", std::to_string(pool.buffer_bytes)}});
    }
  };
  gauge("hearth:buffer_pool_capacity", "Staging buffers of a size that there can be",
        [](const auto& pool) { return pool.capacity; });
  gauge("hearth:buffer_pool_allocated", "Of those, with memory", [](const auto& pool) { return pool.allocated; });
  gauge("hearth:buffer_pool_in_use", "Of those, in use", [](const auto& pool) { return pool.in_use; });
  gauge("hearth:buffer_pool_most_in_use", "In use at one time, so far",
        [](const auto& pool) { return pool.most_in_use; });
  for (const BufferPoolStatistics& pool : metrics.buffer_pools) {
    out.counter("hearth:buffer_pool_taken_total", "Times that a staging buffer was taken",
                static_cast<double>(pool.taken), {{"buffer_bytes", std::to_string(pool.buffer_bytes)}});
  }
}

void add_times(Families& out, const EngineMetrics& metrics) {
  out.histogram("vllm:time_to_first_token_seconds", "From a request's arrival to its first token",
                metrics.time_to_first_token_seconds);
  out.histogram("vllm:inter_token_latency_seconds", "Between two tokens of a request",
                metrics.inter_token_latency_seconds);
  out.histogram("vllm:e2e_request_latency_seconds", "From a request's arrival to its end",
                metrics.e2e_request_latency_seconds);
  out.histogram("vllm:request_queue_time_seconds", "In the queue", metrics.request_queue_time_seconds);
  out.histogram("vllm:request_prefill_time_seconds", "From the queue to the first token",
                metrics.request_prefill_time_seconds);
  out.histogram("vllm:request_decode_time_seconds", "From the first token to the end",
                metrics.request_decode_time_seconds);
  out.histogram("vllm:request_inference_time_seconds", "From the queue to the end",
                metrics.request_inference_time_seconds);
}

void add_load(Families& out, const ServedModel::State& state) {
  const auto* status = std::get_if<LoadStatus>(&state);
  out.gauge("hearth:model_ready", "1 when the model is loaded", std::holds_alternative<ModelLease>(state) ? 1 : 0);
  out.gauge("hearth:model_loading", "1 while it is being loaded", status != nullptr ? 1 : 0);
  if (status == nullptr) return;
  const Progress& progress = status->progress;
  out.gauge("hearth:load_done_bytes", "Of the stage of loading", static_cast<double>(progress.done_bytes));
  out.gauge("hearth:load_total_bytes", "Of the stage of loading", static_cast<double>(progress.total_bytes));
  out.gauge("hearth:load_bytes_per_second", "Of late", status->bytes_per_second);
}

void add_engine(Families& out, const EngineMetrics& metrics) {
  add_state(out, metrics);
  add_totals(out, metrics);
  add_times(out, metrics);
  add_buffer_pools(out, metrics);
  add_memory_use(out, metrics);
  add_users(out, metrics);
}

}  // namespace

std::string metrics_text(const ServedModels& models, const RequestCounters& counters) {
  Families out;
  for (const auto& [key, count] : counters.snapshot()) {
    out.counter("hearth:http_requests_total", "HTTP requests answered; 499 is a client that went away",
                static_cast<double>(count), {{"path", key.first}, {"status", std::to_string(key.second)}});
  }
  for (const auto& model : models.all()) {
    out.set_common({{"model_name", model->name()}});
    add_load(out, model->state());
    if (const ModelLease ready = model->ready()) add_engine(out, ready->engine->metrics());
  }
  return out.text();
}

}  // namespace hearth
