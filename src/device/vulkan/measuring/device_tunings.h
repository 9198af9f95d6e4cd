#pragma once

#include <filesystem>
#include <memory>
#include <string_view>

#include "device/vulkan/measuring/tuning_file.h"
#include "device/vulkan/paths/matmul_tunings.h"
#include "device/vulkan/recording/program.h"

namespace hearth::vulkan {

/// A device's tuning over its life: the table's, changed by hand or by what was measured, which outlives the process.
/// For one thread.
class DeviceTunings {
 public:
  /// Reads what is kept in `folder`; a file that cannot be used is named in the log and measured anew. `seconds` is how
  /// long each program may measure. With `batch_invariant` nothing is measured, and what is kept is left alone.
  DeviceTunings(const Gpu& gpu, const std::filesystem::path& folder, double seconds, bool batch_invariant);

  /// {"file", "operations" (tuning_file.h)} of what is kept for a device, {"file", "ignored"} with the reason where it
  /// cannot be used, null where nothing is.
  static nlohmann::ordered_json describe_kept(const GpuProperties& properties, const std::filesystem::path& folder);

  /// "name=value,..." over the table; what would put sums in another order is not heeded where they must keep one.
  /// Errors: invalid_argument.
  Result<void> force(std::string_view changes);

  /// For programs made from now on.
  const MatmulTunings& matmuls() const { return matmuls_; }

  /// What measures, piece by piece, what is not known of the program's matmuls, and keeps it here and in the file as it
  /// is found. Null where nothing may be measured. Outlived by the program and this.
  std::unique_ptr<ProgramTuner> tuner_for(VulkanProgram& program);

 private:
  class Tuner;

  void keep();

  const double seconds_;
  Tuning table_;
  TuningFile file_;
  MeasuredTunings measured_;
  MatmulTunings matmuls_;
  bool forced_ = false;
};

}  // namespace hearth::vulkan
