#include "base/progress_meter.h"

namespace hearth {
namespace {

constexpr std::chrono::milliseconds kWindow{3000};
constexpr std::chrono::milliseconds kSampleDistance{50};

double seconds(ProgressMeter::TimePoint from, ProgressMeter::TimePoint to) {
  return std::chrono::duration<double>(to - from).count();
}

}  // namespace

void ProgressMeter::report(const Progress& progress, TimePoint now) {
  if (progress.stage != latest_.stage || progress.done_bytes < latest_.done_bytes) samples_.clear();
  latest_ = progress;
  if (!samples_.empty() && now - samples_.back().time < kSampleDistance) return;
  samples_.push_back({now, progress.done_bytes});
  while (samples_.size() > 2 && now - samples_[1].time >= kWindow) samples_.pop_front();
}

double ProgressMeter::bytes_per_second(TimePoint now) const {
  if (samples_.empty() || latest_.total_bytes == 0) return 0;
  const double time = seconds(samples_.front().time, now);
  return time > 0 ? static_cast<double>(latest_.done_bytes - samples_.front().done_bytes) / time : 0;
}

std::optional<double> ProgressMeter::seconds_left(TimePoint now) const {
  const double rate = bytes_per_second(now);
  if (rate <= 0 || latest_.done_bytes > latest_.total_bytes) return std::nullopt;
  return static_cast<double>(latest_.total_bytes - latest_.done_bytes) / rate;
}

}  // namespace hearth
