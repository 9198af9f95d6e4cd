#pragma once

#include <cstdint>
#include <mutex>
#include <string>

namespace hearth {

/// How far a long piece of work has come: loading, packing, downloading.
struct Progress {
  std::string stage;         ///< what is being done, such as "read" or "warm up"
  uint64_t done_bytes = 0;   ///< of this stage
  uint64_t total_bytes = 0;  ///< of this stage; 0 when it is not counted in bytes
  int layer = -1;            ///< the layer being worked on, -1 outside of layers
  int layers = 0;            ///< layers in all, 0 when not known

  /// Share of the stage that is done, 0 to 1.
  double fraction() const {
    if (total_bytes > 0) return done_bytes >= total_bytes ? 1.0 : double(done_bytes) / double(total_bytes);
    if (layers > 0 && layer > 0) return layer >= layers ? 1.0 : double(layer) / double(layers);
    return 0.0;
  }
};

/// Where work reports to. report() may be called from any thread and must return quickly.
class ProgressSink {
 public:
  virtual ~ProgressSink() = default;
  virtual void report(const Progress& progress) = 0;
};

/// Keeps the last report for whoever asks, such as /health. Safe from any thread.
class LatestProgress final : public ProgressSink {
 public:
  void report(const Progress& progress) override {
    std::lock_guard lock(mutex_);
    latest_ = progress;
  }

  Progress latest() const {
    std::lock_guard lock(mutex_);
    return latest_;
  }

 private:
  mutable std::mutex mutex_;
  Progress latest_;
};

}  // namespace hearth
