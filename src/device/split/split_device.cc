#include "device/split/split_device.h"

#include <fmt/format.h>

#include <algorithm>

#include "device/split/cut.h"
#include "device/split/split_program.h"

namespace hearth {
namespace split {
namespace {

class SplitDevice : public Device {
 public:
  SplitDevice(std::vector<SplitStage> stages, uint32_t layers) : stages_(std::move(stages)) {
    for (size_t s = 0; s < stages_.size(); ++s) {
      const DeviceInfo& one = stages_[s].device->info();
      const uint32_t end = s + 1 < stages_.size() ? stages_[s + 1].first_layer : layers;
      const char* between = s == 0 ? "" : "; ";
      info_.kind += fmt::format("{}{}", s == 0 ? "" : "+", one.kind);
      info_.name += fmt::format("{}{}", s == 0 ? "" : " + ", one.name);
      info_.description += fmt::format("{}layers {} to {} on {}: {}", between, stages_[s].first_layer, end - 1,
                                       one.kind, one.description);
      info_.threads = std::max(info_.threads, one.threads);
      info_.is_gpu |= one.is_gpu;
      info_.is_absent |= one.is_absent;
    }
    auto all = memories();
    for (const SplitStage& stage : stages_) {
      const auto own = find_memory(all, stage.device->memories().front());
      memory_of_stage_.push_back(static_cast<uint32_t>(own - all.begin()));
    }
  }

  const DeviceInfo& info() const override { return info_; }

  /// A memory that several of the devices share is told once, as the most modest of them sees it.
  std::vector<DeviceMemory> memories() const override {
    std::vector<DeviceMemory> all;
    for (const SplitStage& stage : stages_) {
      const DeviceMemory one = stage.device->memories().front();
      const auto same = find_memory(all, one);
      if (same == all.end()) {
        all.push_back(one);
      } else {
        same->free_bytes =
            same->free_bytes && one.free_bytes ? std::min(same->free_bytes, one.free_bytes) : std::nullopt;
        same->largest_cache_bytes = std::min(same->largest_cache_bytes, one.largest_cache_bytes);
        same->overused_bytes = std::max(same->overused_bytes, one.overused_bytes);
      }
    }
    return all;
  }

  uint32_t memory_of(uint32_t layer) const override { return memory_of_stage_[stage_of(layer)]; }

  Result<uint64_t> declared_bytes(const MatrixSpec& spec) const override {
    uint64_t sum = 0;
    for (const uint32_t stage : stages_of(spec)) {
      auto bytes = stages_[stage].device->declared_bytes(spec);
      if (!bytes) return bytes;
      sum += *bytes;
    }
    return sum;
  }

  Result<MatrixId> declare_matrix(const MatrixSpec& spec) override {
    std::vector<Place> copies;
    for (const uint32_t stage : stages_of(spec)) {
      auto id = stages_[stage].device->declare_matrix(spec);
      if (!id) return id;
      copies.push_back({stage, id->index});
    }
    places_.matrices.push_back(std::move(copies));
    return MatrixId{static_cast<uint32_t>(places_.matrices.size() - 1)};
  }

  Result<void> write_rows(MatrixId matrix, uint32_t part, uint32_t first_row,
                          std::span<const std::byte> rows_bytes) override {
    for (const Place& copy : places_.matrices[matrix.index]) {
      auto written = stages_[copy.stage].device->write_rows({copy.index}, part, first_row, rows_bytes);
      if (!written) return written;
    }
    return {};
  }

  void give_up_weights(const Error& why) override {
    for (const SplitStage& stage : stages_) stage.device->give_up_weights(why);
  }

  Result<VectorId> upload_vector(const std::string& name, std::span<const float> values, uint32_t layer) override {
    const uint32_t stage = stage_of(layer);
    auto id = stages_[stage].device->upload_vector(name, values, layer);
    if (!id) return id;
    places_.vectors.push_back({stage, id->index});
    return VectorId{static_cast<uint32_t>(places_.vectors.size() - 1)};
  }

  uint64_t weight_bytes() const override {
    uint64_t sum = 0;
    for (const SplitStage& stage : stages_) sum += stage.device->weight_bytes();
    return sum;
  }

  /// Of a matrix that two devices hold, the last one's: it is the head there, which is read whole.
  uint64_t matrix_bytes(MatrixId matrix) const override {
    const Place& place = places_.matrices[matrix.index].back();
    return stages_[place.stage].device->matrix_bytes({place.index});
  }

  uint64_t cache_block_bytes(const CacheLayerSpec& layer) const override {
    return device_of(layer.layer).cache_block_bytes(layer);
  }

  /// Every device has the blocks of all groups, under the same numbers, for the layers that it runs.
  Result<void> create_cache(const CacheSpec& spec) override {
    std::vector<CacheSpec> specs(stages_.size(), {.layers = {}, .blocks_per_group = spec.blocks_per_group});
    places_.cache_layers.clear();
    for (const CacheLayerSpec& layer : spec.layers) {
      const uint32_t stage = stage_of(layer.layer);
      places_.cache_layers.push_back({stage, static_cast<uint32_t>(specs[stage].layers.size())});
      specs[stage].layers.push_back(layer);
    }
    for (size_t s = 0; s < stages_.size(); ++s) {
      if (auto made = stages_[s].device->create_cache(specs[s]); !made) return made;
    }
    return {};
  }

  Result<std::unique_ptr<Program>> compile(const Recording& recording, const ProgramLimits& limits,
                                           const CompileOptions& options) override {
    auto parts = cut_recording(recording, places_, static_cast<uint32_t>(stages_.size()));
    if (!parts) return pass_on(parts);
    std::vector<SplitProgram::Stage> programs;
    for (size_t s = 0; s < stages_.size(); ++s) {
      auto program = stages_[s].device->compile((*parts)[s].recording, limits, options);
      if (!program) return program;
      programs.push_back({std::move((*parts)[s]), std::move(*program)});
    }
    return std::make_unique<SplitProgram>(std::move(programs), recording.operations.size());
  }

  /// Of the device that would need most for the whole, as the cut is not known before the cache.
  Result<uint64_t> program_bytes(const Recording& recording, std::span<const MatrixSpec> matrices,
                                 const ProgramLimits& limits) const override {
    uint64_t most = 0;
    for (const SplitStage& stage : stages_) {
      auto bytes = stage.device->program_bytes(recording, matrices, limits);
      if (!bytes) return bytes;
      most = std::max(most, *bytes);
    }
    return most;
  }

  /// At most: what stands for a device whose part has no logits is less.
  uint64_t staging_bytes(const Recording& recording, const ProgramLimits& limits,
                         std::span<const uint32_t> blocks_per_group) const override {
    uint64_t sum = 0;
    for (const SplitStage& stage : stages_) {
      sum += stage.device->staging_bytes(recording, limits, blocks_per_group);
    }
    return sum;
  }

  /// What one memory would need to read all weights in the time that the devices take one after the other.
  double measure_bandwidth_gb_per_second() override {
    double seconds = 0;
    for (const SplitStage& stage : stages_) {
      const double bandwidth = stage.device->measure_bandwidth_gb_per_second();
      if (bandwidth <= 0) return 0;
      seconds += static_cast<double>(stage.device->weight_bytes()) / (bandwidth * 1e9);
    }
    return seconds > 0 ? static_cast<double>(weight_bytes()) / seconds / 1e9 : 0;
  }

 private:
  static std::vector<DeviceMemory>::iterator find_memory(std::vector<DeviceMemory>& all, const DeviceMemory& memory) {
    return std::ranges::find_if(
        all, [&](const DeviceMemory& one) { return one.pool == memory.pool && one.kind == memory.kind; });
  }

  uint32_t stage_of(uint32_t layer) const {
    const auto behind = std::ranges::upper_bound(stages_, layer, {}, &SplitStage::first_layer);
    return static_cast<uint32_t>(behind - stages_.begin() - 1);
  }
  const Device& device_of(uint32_t layer) const { return *stages_[stage_of(layer)].device; }

  /// Ascending, each once.
  std::vector<uint32_t> stages_of(const MatrixSpec& spec) const {
    std::vector<uint32_t> stages(spec.layers.size());
    std::ranges::transform(spec.layers, stages.begin(), [this](uint32_t layer) { return stage_of(layer); });
    std::ranges::sort(stages);
    const auto repeated = std::ranges::unique(stages);
    stages.erase(repeated.begin(), repeated.end());
    return stages;
  }

  std::vector<SplitStage> stages_;
  std::vector<uint32_t> memory_of_stage_;  ///< index into memories()
  DeviceInfo info_;
  Places places_;
};

}  // namespace
}  // namespace split

Result<std::unique_ptr<Device>> make_split_device(std::vector<SplitStage> stages, uint32_t layers) {
  const auto out_of_order = [](const SplitStage& a, const SplitStage& b) { return a.first_layer >= b.first_layer; };
  if (stages.empty() || stages.front().first_layer != 0 || stages.back().first_layer >= layers ||
      std::ranges::adjacent_find(stages, out_of_order) != stages.end()) {
    return fail(ErrorCode::internal, fmt::format("{} devices do not share {} layers", stages.size(), layers));
  }
  return std::make_unique<split::SplitDevice>(std::move(stages), layers);
}

}  // namespace hearth
