#pragma once

#include <array>
#include <cstdint>
#include <map>
#include <span>
#include <string>
#include <vector>

#include "device/device.h"

namespace hearth {

/// Observations sorted into buckets by upper bound; the last bucket has none.
class Histogram {
 public:
  explicit Histogram(std::span<const double> upper_bounds)
      : bounds_(upper_bounds.begin(), upper_bounds.end()), counts_(upper_bounds.size() + 1) {}

  void observe(double value) {
    size_t bucket = 0;
    while (bucket < bounds_.size() && value > bounds_[bucket]) ++bucket;
    ++counts_[bucket];
    sum_ += value;
  }

  std::span<const double> bounds() const { return bounds_; }
  std::span<const uint64_t> counts() const { return counts_; }  ///< not cumulative
  double sum() const { return sum_; }

 private:
  std::vector<double> bounds_;
  std::vector<uint64_t> counts_;
  double sum_ = 0;
};

inline constexpr std::array kLatencyBounds = {0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.075, 0.1,  0.25, 0.5,
                                              0.75,  1.0,    2.5,   5.0,  7.5,   10.0, 20.0,  40.0, 80.0, 160.0};

/// Tokens of one user's requests.
struct UserTokens {
  uint64_t prompt_tokens = 0;
  uint64_t generation_tokens = 0;
};

/// A snapshot of what an engine did and does. Seconds; tokens; names as in vLLM's metrics.
struct EngineMetrics {
  uint32_t requests_running = 0;
  uint32_t requests_waiting = 0;
  uint32_t kv_blocks_total = 0;  ///< of the cache group that remembers whole sequences
  uint32_t kv_blocks_used = 0;   ///< the same share of them as is used in the fullest group
  uint64_t preemptions = 0;
  uint64_t cache_resizes = 0;  ///< because others took memory or gave it back
  uint64_t prompt_tokens = 0;
  uint64_t generation_tokens = 0;
  uint64_t prefix_cache_queries = 0;
  uint64_t prefix_cache_hits = 0;
  double queue_seconds = 0;  ///< that the prompts which are there will take, by what steps cost; 0 before that is known
  std::map<std::string, UserTokens> users;         ///< of users with a name
  std::vector<BufferPoolStatistics> buffer_pools;  ///< of the device
  std::vector<DeviceMemoryUse> memory_use;         ///< of each device
  std::array<uint64_t, 4> finished{};              ///< by FinishReason
  Histogram time_to_first_token_seconds{kLatencyBounds};
  Histogram inter_token_latency_seconds{kLatencyBounds};
  Histogram e2e_request_latency_seconds{kLatencyBounds};
  Histogram request_queue_time_seconds{kLatencyBounds};
  Histogram request_prefill_time_seconds{kLatencyBounds};
  Histogram request_decode_time_seconds{kLatencyBounds};
  Histogram request_inference_time_seconds{kLatencyBounds};
};

}  // namespace hearth
