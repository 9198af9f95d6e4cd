#pragma once

#include <mutex>
#include <string>

#include "base/progress_meter.h"

namespace hearth::app {

/// "read:  37 % of 2500 MB, 1.20 GB/s, 1 s left"
std::string progress_text(const ProgressMeter& meter, ProgressMeter::TimePoint now);

/// Shows loading on stderr: a bar that is redrawn on a terminal, else a line for each tenth.
class TerminalProgress final : public ProgressSink {
 public:
  TerminalProgress();
  ~TerminalProgress() override;
  void report(const Progress& progress) override;

 private:
  const bool terminal_;
  std::mutex mutex_;
  ProgressMeter meter_;
  std::string stage_;
  int shown_ = -1;
};

}  // namespace hearth::app
