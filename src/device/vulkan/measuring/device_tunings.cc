#include "device/vulkan/measuring/device_tunings.h"

#include <spdlog/spdlog.h>

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
    : gpu_(gpu),
      seconds_(seconds),
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

Result<void> DeviceTunings::tune(VulkanProgram& program) {
  if (forced_ || seconds_ <= 0 || table_.batch_invariant != 0) return {};
  auto report = tune_matmuls(gpu_, program, seconds_, measured_);
  if (!report && report.error().code == ErrorCode::device_lost) return pass_on(report);
  if (!report) {
    spdlog::warn("tuning was not measured: {}", to_string(report.error()));
  } else if (report->measured > 0 || report->missing > 0) {
    spdlog::info("tuning of {} kinds of matmuls: {} choices measured in {:.1f} s, {} left for later starts",
                 report->shapes, report->measured, report->seconds, report->missing);
  }
  if (report && report->measured == 0) return {};
  if (auto written = file_.write(measured_); !written) spdlog::warn("{}", to_string(written.error()));
  if (auto set = matmuls_.set(measured_); !set) return set;
  return program.set_matmuls(measured_);
}

}  // namespace hearth::vulkan
