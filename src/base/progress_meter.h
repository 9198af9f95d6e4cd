#pragma once

#include <chrono>
#include <cstdint>
#include <deque>
#include <optional>

#include "base/progress.h"

namespace hearth {

/// How quickly a stage goes, and how long it will take, from what is reported of it. For one thread; the caller gives
/// the time.
class ProgressMeter {
 public:
  using TimePoint = std::chrono::steady_clock::time_point;

  void report(const Progress& progress, TimePoint now);

  const Progress& latest() const { return latest_; }

  /// Over the last seconds of this stage; falls while nothing comes. 0 where the stage is not counted in bytes.
  double bytes_per_second(TimePoint now) const;

  /// Until the end of this stage at that rate; nothing where that cannot be said.
  std::optional<double> seconds_left(TimePoint now) const;

 private:
  struct Sample {
    TimePoint time;
    uint64_t done_bytes = 0;
  };

  Progress latest_;
  std::deque<Sample> samples_;  ///< of this stage: one from before the window, and those in it
};

}  // namespace hearth
