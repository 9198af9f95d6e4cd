#pragma once

#include <cstdint>
#include <filesystem>
#include <nlohmann/json.hpp>

#include "base/result.h"
#include "device/vulkan/gpu/gpu_properties.h"
#include "device/vulkan/paths/matmul_tunings.h"

namespace hearth::vulkan {

/// A file of measured tunings beside the compiled pipelines (JSON, made to be read by people too): one for each device,
/// driver, set of shaders and table that the choices change. It may speak of the matmuls of many models.
class TuningFile {
 public:
  /// Keeps nothing.
  TuningFile() = default;
  /// In `folder`, which is made when something is written; an empty one keeps nothing. `table` is the tuning that the
  /// choices change, `shaders` a hash of the code.
  TuningFile(const std::filesystem::path& folder, const GpuProperties& properties, const Tuning& table,
             uint64_t shaders);

  const std::filesystem::path& path() const { return path_; }  ///< empty when nothing is kept

  /// What was written last, marked as kept; empty where there is no file. Errors: corrupt (damaged, or written for
  /// another device, driver, code or table), io.
  Result<MeasuredTunings> read() const;

  /// Replaces the file at once. Errors: io.
  Result<void> write(const MeasuredTunings& measured) const;

 private:
  std::filesystem::path path_;
  std::string device_;  ///< for people
  std::string key_;
};

/// [{"operation", "choices": [{"tokens", "tuning", "microseconds", "table_microseconds"}]}], as the file has it.
nlohmann::ordered_json to_json(const MeasuredTunings& measured);

}  // namespace hearth::vulkan
