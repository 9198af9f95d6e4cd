#include "app/terminal_progress.h"

#include <fmt/format.h>
#include <unistd.h>

#include <chrono>
#include <cmath>
#include <cstdio>

namespace hearth::app {
namespace {

constexpr int kBarWidth = 30;

int percent_of(const Progress& progress) { return static_cast<int>(progress.fraction() * 100); }

}  // namespace

std::string progress_text(const ProgressMeter& meter, ProgressMeter::TimePoint now) {
  const Progress& progress = meter.latest();
  std::string text = fmt::format("{}: {:3} % of {:.0f} MB", progress.stage, percent_of(progress),
                                 static_cast<double>(progress.total_bytes) / 1e6);
  if (const double rate = meter.bytes_per_second(now); rate > 0) text += fmt::format(", {:.2f} GB/s", rate / 1e9);
  if (const auto left = meter.seconds_left(now); left && *left > 0) {
    text += fmt::format(", {:.0f} s left", std::ceil(*left));
  }
  return text;
}

TerminalProgress::TerminalProgress() : terminal_(isatty(STDERR_FILENO) == 1) {}

TerminalProgress::~TerminalProgress() {
  if (terminal_ && shown_ >= 0) std::fputs("\r\033[K", stderr);
}

void TerminalProgress::report(const Progress& progress) {
  std::lock_guard lock(mutex_);
  if (progress.total_bytes == 0) return;
  const auto now = std::chrono::steady_clock::now();
  meter_.report(progress, now);
  const int percent = percent_of(progress);
  const int step = terminal_ ? 1 : 10;
  if (progress.stage == stage_ && percent / step == shown_ / step) return;
  stage_ = progress.stage;
  shown_ = percent;
  const std::string text = progress_text(meter_, now);
  if (terminal_) {
    const auto bar = std::string(static_cast<size_t>(percent * kBarWidth / 100), '#');
    std::fputs(fmt::format("\r\033[K[{:<{}}] {}", bar, kBarWidth, text).c_str(), stderr);
  } else {
    std::fputs((text + "\n").c_str(), stderr);
  }
}

}  // namespace hearth::app
