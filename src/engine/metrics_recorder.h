#pragma once

#include <chrono>
#include <mutex>

#include "engine/active_request.h"
#include "engine/metrics.h"

namespace hearth {

/// Keeps an engine's metrics and the times of its requests. The engine's thread writes, any thread takes snapshots.
class MetricsRecorder {
 public:
  using TimePoint = std::chrono::steady_clock::time_point;

  /// What the engine has at the moment, and its counts so far.
  struct State {
    uint32_t requests_running = 0;
    uint32_t kv_blocks_total = 0;
    uint32_t kv_blocks_used = 0;
    uint64_t preemptions = 0;
    uint64_t cache_resizes = 0;
    uint64_t prefix_cache_queries = 0;
    uint64_t prefix_cache_hits = 0;
    double queue_seconds = 0;
    std::vector<BufferPoolStatistics> buffer_pools;
    std::vector<DeviceMemoryUse> memory_use;
  };

  void update(State state);

  /// Each sets the request's times too.
  void note_admission(ActiveRequest& active, TimePoint now);
  void note_token(ActiveRequest& active, TimePoint now);
  void note_end(const ActiveRequest& active, FinishReason reason, TimePoint now);

  EngineMetrics snapshot() const;

 private:
  mutable std::mutex mutex_;
  EngineMetrics metrics_;
};

}  // namespace hearth
