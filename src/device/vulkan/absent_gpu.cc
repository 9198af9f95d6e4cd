#include "device/vulkan/absent_gpu.h"

#include <algorithm>

#include "device/absent/absent_device.h"
#include "device/vulkan/gpu/read_description.h"
#include "device/vulkan/memory/cache.h"
#include "device/vulkan/paths/tuning.h"
#include "device/vulkan/recording/program.h"

namespace hearth {
namespace vulkan {
namespace {

class AbsentGpu final : public AbsentDevice {
 public:
  AbsentGpu(GpuProperties properties, Description description)
      : AbsentDevice(std::move(description)), properties_(std::move(properties)), tuning_(tuning_for(properties_)) {}

  Result<uint64_t> declared_bytes(const MatrixSpec& spec) const override {
    auto matrix = lay_out_matrix(properties_, spec);
    if (!matrix) return pass_on(matrix);
    return matrix->bytes;
  }

  uint64_t cache_block_bytes(const CacheLayerSpec& layer) const override { return Cache::block_bytes(layer); }

  Result<uint64_t> program_bytes(const Recording& recording, std::span<const MatrixSpec> specs,
                                 const ProgramLimits& limits) const override {
    return VulkanProgram::planned_bytes(properties_, tuning_, recording, specs, limits);
  }

  uint64_t staging_bytes(const Recording& recording, const ProgramLimits& limits,
                         std::span<const uint32_t> blocks_per_group) const override {
    return VulkanProgram::planned_staging_bytes(recording, limits, blocks_per_group);
  }

 protected:
  uint64_t vector_bytes(size_t values) const override {
    const uint64_t bytes = std::max<uint64_t>(values * sizeof(float), 1);
    return (bytes + Arena::kAlignment - 1) / Arena::kAlignment * Arena::kAlignment;
  }

 private:
  const GpuProperties properties_;
  const Tuning tuning_;
};

DeviceMemory memory_of(const GpuProperties& gpu, uint64_t index, const DeviceMemory& host) {
  DeviceMemory memory = {.kind = DeviceMemory::Kind::own,
                         .name = gpu.name,
                         .pool = index + 1,
                         .free_bytes = 0,
                         .largest_cache_bytes = Arena::largest_slice(gpu)};
  const bool is_integrated = gpu.type == VK_PHYSICAL_DEVICE_TYPE_INTEGRATED_GPU;
  for (const MemoryHeap& heap : gpu.heaps) {
    const uint64_t used = std::min(heap.budget_bytes, heap.process_bytes);
    if (!heap.device_local && !is_integrated) continue;
    *memory.free_bytes += heap.budget_bytes - used;
    memory.total_bytes += heap.bytes;
  }
  const bool is_processor = gpu.type == VK_PHYSICAL_DEVICE_TYPE_CPU;
  if (!is_processor && !is_integrated) return memory;
  memory.kind = is_processor ? DeviceMemory::Kind::system : DeviceMemory::Kind::integrated;
  memory.pool = host.pool;
  memory.free_bytes = std::min(*memory.free_bytes, host.free_bytes.value_or(UINT64_MAX));
  return memory;
}

GpuChoice choice_of(const DeviceName& name) {
  const auto index = name.index();
  return {.index = index, .name = index ? "" : name.which, .only_hardware = name.kind == "auto"};
}

}  // namespace
}  // namespace vulkan

Result<std::unique_ptr<Device>> open_absent_gpu(const nlohmann::json& described, const DeviceName& name,
                                                const DeviceMemory& host) {
  std::vector<vulkan::GpuProperties> gpus;
  for (const nlohmann::json& each : described) {
    auto gpu = vulkan::read_description(each);
    if (!gpu) return pass_on(gpu);
    gpus.push_back(std::move(*gpu));
  }
  const auto chosen = vulkan::choose_gpu(gpus, vulkan::choice_of(name));
  if (!chosen) return std::unexpected(chosen.error());
  vulkan::GpuProperties& gpu = gpus[*chosen];
  AbsentDevice::Description description = {
      .info = {.kind = "vulkan",
               .name = gpu.name,
               .description = gpu.driver,
               .is_gpu = true,
               .is_absent = true,
               .teraflops = described[*chosen].value("f16_teraflops", 0.0)},
      .memory = vulkan::memory_of(gpu, *chosen, host),
      .bandwidth_gb_per_second = described[*chosen].value("read_gb_per_second", 0.0)};
  if (name.memory_mebibytes) {
    const uint64_t most = *name.memory_mebibytes << 20;
    description.memory.free_bytes = std::min(*description.memory.free_bytes, most);
    description.memory.total_bytes = std::min(description.memory.total_bytes, most);
  }
  return std::make_unique<vulkan::AbsentGpu>(std::move(gpu), std::move(description));
}

}  // namespace hearth
