#pragma once

#include <memory>
#include <optional>
#include <vector>

#include "device/device.h"
#include "device/explained_program.h"
#include "device/split/cut.h"

namespace hearth::split {

/// A step that runs on one device after the other, each with a program of its own. What a device hands on lies in
/// memory of the host, where the next one takes it from. The first one begins at submit, so that the host can work
/// meanwhile; the others begin in wait, as each needs what the one before it made.
class SplitProgram : public Program, public ExplainedProgram {
 public:
  struct Stage {
    StageRecording part;
    std::unique_ptr<Program> program;
  };

  /// `operations` is how many the whole recording has.
  SplitProgram(std::vector<Stage> stages, size_t operations)
      : stages_(std::move(stages)), outputs_(stages_.size()), operations_(operations) {}

  Result<void> submit(const StepInput& input) override;
  Result<StepOutput> wait() override;

  /// Each device's profile of its part; handing over is in neither. Devices but the last compute their part twice, as a
  /// profile hands nothing on.
  Result<StepProfile> profile(const StepInput& input) override;

  /// Those of the devices that choose, in order.
  Result<std::vector<OperationChoice>> choices() override;

  /// The sum of all devices' times; empty where one of them does not know.
  std::vector<double> expected_seconds(std::span<const uint32_t> tokens) override;

  /// One device after another.
  Result<bool> tune(const std::function<bool()>& is_interrupted) override;

  /// Those of all devices, added up by size.
  std::vector<BufferPoolStatistics> buffer_pools() const override;
  std::vector<DeviceMemoryUse> memory_use() const override;

 private:
  StepInput input_of(size_t stage, const StepInput& input);

  std::vector<Stage> stages_;
  std::vector<StepOutput> outputs_;                  // of each stage in this step
  std::vector<std::span<const float>> activations_;  // of the stage that begins
  std::optional<StepInput> in_flight_;
  size_t operations_;
};

}  // namespace hearth::split
