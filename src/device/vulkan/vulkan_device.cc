#include "device/vulkan/vulkan_device.h"

#include <fmt/format.h>
#include <spdlog/spdlog.h>

#include <algorithm>

#include "device/device_memory.h"
#include "device/vulkan/gpu/cooperative_matrices.h"
#include "device/vulkan/gpu/instance.h"
#include "device/vulkan/measuring/bandwidth.h"
#include "device/vulkan/measuring/device_tunings.h"
#include "device/vulkan/measuring/learn_fragments.h"
#include "device/vulkan/recording/program.h"

namespace hearth {
namespace vulkan {
namespace {

std::string summary(const GpuProperties& p, bool batch_invariant) {
  std::string text =
      fmt::format("Vulkan {}, {}, subgroups of {} ({} to {}), {} KiB shared memory", p.api_version, p.driver,
                  p.subgroup_size, p.subgroup_min, p.subgroup_max, p.shared_memory_bytes / 1024);
  text += p.one_memory ? ", device memory mapped" : ", uploads through staging buffers";
  text += p.dot_product_accelerated ? ", int8 dot products" : ", int8 dot products emulated";
  for (const CooperativeMatrixShape& shape : p.cooperative_matrices) {
    text += fmt::format(", matrices {}x{}x{} {} to {}", shape.m, shape.n, shape.k, shape.inputs, shape.results);
  }
  for (const FragmentLayout& layout : p.fragments) {
    text += fmt::format(", known elements of {}x{}x{}", layout.m, layout.n, layout.k);
  }
  if (has_workgroup_matrices(p)) text += ", workgroup matrices f16 to f32";
  if (batch_invariant) text += ", batch-invariant";
  return text;
}

double tune_seconds(const VulkanOptions& options, const GpuProperties& gpu) {
  const bool executes = !gpu.compiles_only && gpu.timestamp_ns > 0;
  const bool is_processor = gpu.type == VK_PHYSICAL_DEVICE_TYPE_CPU;
  return executes ? options.tune_seconds.value_or(is_processor ? 0 : kTuneSeconds) : 0;
}

class Implementation : public VulkanDevice {
 public:
  Implementation(std::unique_ptr<Gpu> gpu, std::unique_ptr<Pipelines> pipelines, const VulkanOptions& options)
      : memory_bytes_(options.memory_bytes),
        batch_invariant_(options.batch_invariant),
        gpu_(std::move(gpu)),
        pipelines_(std::move(pipelines)),
        tunings_(*gpu_, options.pipeline_cache, tune_seconds(options, gpu_->properties()), options.batch_invariant),
        weights_(*gpu_) {
    info_ = {.kind = "vulkan",
             .name = gpu_->properties().name,
             .description = summary(gpu_->properties(), batch_invariant_),
             .is_gpu = true};
  }

  const DeviceInfo& info() const override { return info_; }
  std::vector<DeviceMemory> memories() const override {
    DeviceMemory memory = device_memory(*gpu_);
    if (memory_bytes_) {
      const MemoryUse use = gpu_->ledger().now();
      const uint64_t taken = use.total() - use.of(MemoryOwner::staging);
      const uint64_t left = *memory_bytes_ - std::min(*memory_bytes_, taken);
      memory.free_bytes = std::min(left, memory.free_bytes.value_or(left));
      memory.total_bytes = std::min(memory.total_bytes, *memory_bytes_);
    }
    take_off(memory, weights_.uncommitted_bytes());
    return {memory};
  }
  uint32_t validation_messages() const override { return Instance::validation_messages(); }
  uint32_t pipelines_made() const override { return pipelines_->statistics().made; }

  Result<void> set_tuning(std::string_view changes) override { return tunings_.force(changes); }

  Result<uint64_t> declared_bytes(const MatrixSpec& spec) const override {
    auto matrix = lay_out_matrix(gpu_->properties(), spec);
    if (!matrix) return pass_on(matrix);
    return matrix->bytes;
  }
  Result<MatrixId> declare_matrix(const MatrixSpec& spec) override { return weights_.declare_matrix(spec); }
  Result<void> write_rows(MatrixId matrix, uint32_t part, uint32_t first_row,
                          std::span<const std::byte> rows_bytes) override {
    return weights_.write_rows(matrix, part, first_row, rows_bytes);
  }
  void give_up_weights(const Error& why) override { weights_.arrival().give_up(why); }
  Result<VectorId> upload_vector(const std::string& name, std::span<const float> values, uint32_t) override {
    return weights_.upload_vector(name, values);
  }
  uint64_t weight_bytes() const override { return weights_.bytes(); }
  uint64_t matrix_bytes(MatrixId matrix) const override { return weights_.matrix(matrix).bytes; }
  uint64_t cache_block_bytes(const CacheLayerSpec& layer) const override { return Cache::block_bytes(layer); }
  Result<void> create_cache(const CacheSpec& spec) override { return cache_.create(*gpu_, spec); }

  Result<std::unique_ptr<Program>> compile(const Recording& recording, const ProgramLimits& limits,
                                           const CompileOptions& options) override {
    if (auto finished = weights_.finish(options.weights_arrive); !finished) return pass_on(finished);
    auto program = prepared_program(recording, limits, options);
    const bool has_matrices = !gpu_->properties().cooperative_matrices.empty();
    if (program || program.error().code != ErrorCode::internal || !has_matrices) return program;
    // Drivers have listed matrices that they could not compile; every shader that uses them has a stand-in.
    spdlog::warn("{}; trying without the matrix units that {} lists", program.error().message, info_.name);
    gpu_->give_up_matrices();
    info_.description = summary(gpu_->properties(), batch_invariant_);
    return prepared_program(recording, limits, options);
  }

  Result<uint64_t> program_bytes(const Recording& recording, std::span<const MatrixSpec> specs,
                                 const ProgramLimits& limits) const override {
    return VulkanProgram::planned_bytes(gpu_->properties(), tunings_.matmuls().base(), recording, specs, limits);
  }

  uint64_t staging_bytes(const Recording& recording, const ProgramLimits& limits,
                         std::span<const uint32_t> blocks_per_group) const override {
    return VulkanProgram::planned_staging_bytes(recording, limits, blocks_per_group);
  }

  double measure_bandwidth_gb_per_second() override {
    constexpr uint64_t kBytes = uint64_t{1} << 30;  // some times the largest caches of today
    return measure_read_bandwidth(*gpu_, *pipelines_, kBytes).value_or(0);
  }

 private:
  Result<std::unique_ptr<Program>> prepared_program(const Recording& recording, const ProgramLimits& limits,
                                                    const CompileOptions& options) {
    auto program = VulkanProgram::create(*gpu_, *pipelines_, tunings_.matmuls(), recording, weights_, cache_, limits);
    if (!program) return pass_on(program);
    if (options.weights_arrive) (*program)->await_weights();
    if (options.prepare) {
      if (auto prepared = (*program)->prepare(options.stop); !prepared) return pass_on(prepared);
    }
    (*program)->set_tuner(tunings_.tuner_for(**program));
    return std::move(*program);
  }

  std::optional<uint64_t> memory_bytes_;
  const bool batch_invariant_;
  std::unique_ptr<Gpu> gpu_;
  std::unique_ptr<Pipelines> pipelines_;
  DeviceTunings tunings_;
  Weights weights_;
  Cache cache_;
  DeviceInfo info_;
};

}  // namespace
}  // namespace vulkan

Result<std::unique_ptr<VulkanDevice>> open_vulkan_device(const VulkanOptions& options) {
  auto gpu = vulkan::Gpu::open(
      {.choice = {.index = options.index, .name = options.name, .only_hardware = options.only_hardware},
       .validation = options.validation,
       .staging = options.staging,
       .wrap = options.wrap});
  if (!gpu) return pass_on(gpu);
  auto pipelines = vulkan::Pipelines::create(**gpu, false, options.pipeline_cache);
  if (!pipelines) return pass_on(pipelines);
  // Where a driver lists matrices that it cannot compile, no path takes them in the end.
  if (auto learned = vulkan::learn_fragments(**gpu, **pipelines)) (*gpu)->set_fragments(std::move(*learned));
  return std::make_unique<vulkan::Implementation>(std::move(*gpu), std::move(*pipelines), options);
}

Result<nlohmann::ordered_json> describe_vulkan_devices(const std::filesystem::path& pipeline_cache) {
  auto found = vulkan::Gpu::list();
  if (!found) return pass_on(found);
  auto all = nlohmann::ordered_json::array();
  for (const vulkan::GpuProperties& properties : *found) {
    all.push_back(vulkan::describe(properties));
    all.back()["kept_tuning"] = vulkan::DeviceTunings::describe_kept(properties, pipeline_cache);
  }
  return all;
}

}  // namespace hearth
