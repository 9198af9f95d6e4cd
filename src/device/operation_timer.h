#pragma once

#include <chrono>
#include <cstdint>

#include "device/device.h"

namespace hearth {

/// Fills a StepProfile by the host's clock, for devices that run one operation after the other on the host.
class OperationTimer {
 public:
  /// A step of `operations` operations begins.
  OperationTimer(StepProfile& profile, size_t operations) : profile_(profile), last_(Clock::now()) {
    profile_ = {.operation_seconds = std::vector<double>(operations)};
  }

  /// What has passed since the last call went into preparing the step.
  void skip() { pass(); }

  /// What has passed since the last call went into operation `index`; an operation may have several parts.
  void add_to(uint32_t index) { profile_.operation_seconds[index] += pass(); }

 private:
  using Clock = std::chrono::steady_clock;

  double pass() {
    const Clock::time_point now = Clock::now();
    const double seconds = std::chrono::duration<double>(now - last_).count();
    last_ = now;
    profile_.seconds += seconds;
    return seconds;
  }

  StepProfile& profile_;
  Clock::time_point last_;
};

}  // namespace hearth
