#include "app/open_model.h"

#include <unistd.h>

#include <cstdio>

#include "device/open_device.h"

namespace hearth::app {

void add_device_options(CLI::App& command, DeviceOptions& options) {
  command
      .add_option("--device", options.device,
                  "auto, cpu, vulkan, vulkan:N, vulkan:NAME or reference; `hearth doctor` lists GPUs")
      ->capture_default_str();
  command.add_option("--threads", options.threads, "threads of the CPU; 0 is one for each core")->capture_default_str();
}

Result<OpenModel> open_model(const Checkpoint& checkpoint, const DeviceOptions& options, LoadOptions load,
                             ProgressSink& progress, std::stop_token stop) {
  OpenModel opened;
  auto device = open_device(options.device, options.threads);
  if (!device) return pass_on(device);
  opened.device = std::move(*device);
  auto model = Model::load(checkpoint, *opened.device, load, progress, std::move(stop));
  if (!model) return pass_on(model);
  opened.model = std::move(*model);
  return opened;
}

Result<OpenModel> open_model(const std::filesystem::path& path, const DeviceOptions& options, LoadOptions load) {
  auto checkpoint = open_checkpoint(path);
  if (!checkpoint) return pass_on(checkpoint);
  TerminalProgress progress;
  return open_model(**checkpoint, options, load, progress);
}

TerminalProgress::TerminalProgress() : terminal_(isatty(STDERR_FILENO) == 1) {}

TerminalProgress::~TerminalProgress() {
  if (terminal_ && shown_ >= 0) std::fputs("\r\033[K", stderr);
}

void TerminalProgress::report(const Progress& progress) {
  std::lock_guard lock(mutex_);
  if (progress.total_bytes == 0) return;
  const int percent = static_cast<int>(progress.fraction() * 100);
  const int step = terminal_ ? 1 : 10;
  if (progress.stage == stage_ && percent / step == shown_ / step) return;
  stage_ = progress.stage;
  shown_ = percent;
  draw(progress, percent);
}

void TerminalProgress::draw(const Progress& progress, int percent) {
  const double megabytes = static_cast<double>(progress.total_bytes) / 1e6;
  if (!terminal_) {
    std::fprintf(stderr, "%s: %3d %% of %.0f MB\n", stage_.c_str(), percent, megabytes);
    return;
  }
  constexpr int kWidth = 40;
  std::fprintf(stderr, "\r%s [%-*.*s] %3d %% of %.0f MB", stage_.c_str(), kWidth, percent * kWidth / 100,
               "########################################", percent, megabytes);
}

}  // namespace hearth::app
