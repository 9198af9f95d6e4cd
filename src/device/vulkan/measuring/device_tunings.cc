#include "device/vulkan/measuring/device_tunings.h"

#include <spdlog/spdlog.h>

#include <optional>

#include "device/vulkan/measuring/matmul_tuner.h"

namespace hearth::vulkan {
namespace {

TuningFile file_for(const GpuProperties& properties, const std::filesystem::path& folder) {
  return {folder, properties, tuning_for(properties), hash_of_shaders()};
}

Tuning table_for(const GpuProperties& properties, bool batch_invariant) {
  Tuning table = tuning_for(properties);
  table.batch_invariant = batch_invariant ? 1 : 0;
  keep_batch_invariant(table);
  return table;
}

}  // namespace

DeviceTunings::DeviceTunings(const Gpu& gpu, const std::filesystem::path& folder, double seconds, bool batch_invariant)
    : seconds_(seconds),
      table_(table_for(gpu.properties(), batch_invariant)),
      file_(file_for(gpu.properties(), folder)),
      matmuls_(table_) {
  if (batch_invariant) return;
  auto kept = file_.read();
  if (!kept) {
    spdlog::warn("measured tuning is ignored: {}", to_string(kept.error()));
    return;
  }
  measured_ = std::move(*kept);
  (void)matmuls_.set(measured_);  // reading has checked the names
}

nlohmann::ordered_json DeviceTunings::describe_kept(const GpuProperties& properties,
                                                    const std::filesystem::path& folder) {
  const TuningFile file = file_for(properties, folder);
  auto kept = file.read();
  if (!kept) return {{"file", file.path().string()}, {"ignored", to_string(kept.error())}};
  if (kept->empty()) return nullptr;
  return {{"file", file.path().string()}, {"operations", to_json(*kept)}};
}

Result<void> DeviceTunings::force(std::string_view text) {
  auto changes = parse_changes(text);
  if (!changes) return pass_on(changes);
  Tuning base = table_;
  if (auto changed = change_tuning(*changes, base); !changed) return changed;
  base.batch_invariant |= table_.batch_invariant;
  keep_batch_invariant(base);
  forced_ = changes_matmuls(*changes);
  matmuls_ = MatmulTunings(base, *changes);
  return forced_ ? Result<void>{} : matmuls_.set(measured_);
}

/// One program's tuning.
class DeviceTunings::Tuner final : public ProgramTuner {
 public:
  Tuner(DeviceTunings& tunings, VulkanProgram& program) : tunings_(tunings), program_(program) {}

  /// Errors: device_lost; others are logged, and what is not known by then goes by the table.
  Result<bool> go_on(const IsInterrupted& is_interrupted) override {
    if (!matmuls_) matmuls_.emplace(program_, tunings_.seconds_, tunings_.measured_);
    for (;;) {
      auto progress = matmuls_->go_on(is_interrupted);
      if (!progress) {
        if (progress.error().code == ErrorCode::device_lost) return pass_on(progress);
        spdlog::warn("tuning was not measured to its end: {}", to_string(progress.error()));
        return false;
      }
      if (*progress == MatmulTuner::Progress::interrupted) return true;
      if (*progress == MatmulTuner::Progress::ended) break;
      tunings_.keep();
    }
    const TuningReport& report = matmuls_->report();
    if (report.measured > 0 || report.missing > 0) {
      spdlog::info("tuning of {} kinds of matmuls: {} choices measured in {:.1f} s, {} left for later starts",
                   report.shapes, report.measured, report.seconds, report.missing);
    }
    return false;
  }

 private:
  DeviceTunings& tunings_;
  VulkanProgram& program_;
  std::optional<MatmulTuner> matmuls_;  ///< since all weights are there
};

std::unique_ptr<ProgramTuner> DeviceTunings::tuner_for(VulkanProgram& program) {
  if (forced_ || seconds_ <= 0 || table_.batch_invariant != 0) return nullptr;
  return std::make_unique<Tuner>(*this, program);
}

void DeviceTunings::keep() {
  if (auto written = file_.write(measured_); !written) spdlog::warn("{}", to_string(written.error()));
  if (!forced_) (void)matmuls_.set(measured_);  // the program has taken them already
}

}  // namespace hearth::vulkan
