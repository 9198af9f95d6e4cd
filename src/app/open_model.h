#pragma once

#include <filesystem>
#include <memory>
#include <stop_token>
#include <string>

#include "base/progress.h"
#include "base/result.h"
#include "device/device.h"
#include "formats/checkpoint.h"
#include "model/model.h"

namespace hearth::app {

/// Where a command's model runs.
struct DeviceOptions {
  std::string device = "auto";
  uint32_t threads = 0;  ///< 0 is one for each core
};

/// A checkpoint on a device. The members depend on those before them.
struct OpenModel {
  std::unique_ptr<Checkpoint> checkpoint;
  std::unique_ptr<Device> device;
  std::unique_ptr<Model> model;
};

Result<OpenModel> open_model(const std::filesystem::path& path, const DeviceOptions& options, LoadOptions load,
                             ProgressSink& progress, std::stop_token stop = {});

/// Shows loading on stderr: a bar that is redrawn on a terminal, else a line for each tenth.
class TerminalProgress final : public ProgressSink {
 public:
  TerminalProgress();
  ~TerminalProgress() override;
  void report(const Progress& progress) override;

 private:
  void draw(const Progress& progress, int percent);

  const bool terminal_;
  std::mutex mutex_;
  std::string stage_;
  int shown_ = -1;
};

}  // namespace hearth::app
