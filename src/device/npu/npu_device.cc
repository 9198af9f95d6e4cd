#include "device/npu/npu_device.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/free_memory.h"
#include "device/cpu/cpu_device.h"
#include "device/npu/npu_detection.h"
#include "device/npu/package_energy.h"

namespace hearth {
namespace {

constexpr double kEnergySeconds = 0.3;  // the counter moves about each millisecond

/// The first that can be used.
Result<Npu> find_usable_npu(const NpuOptions& options) {
  auto npus = detect_npus(options.root, options.driver, options.driver_patience);
  if (!npus) return pass_on(npus);
  if (npus->empty()) {
    return fail(ErrorCode::unsupported, "this machine shows no NPU of AMD",
                "one may be switched off in the firmware's setup; --device auto takes what else there is");
  }
  const auto usable = std::ranges::find(*npus, NpuState::usable, &Npu::state);
  if (usable != npus->end()) return std::move(*usable);
  const Npu& npu = npus->front();
  return fail(ErrorCode::unsupported,
              fmt::format("the NPU at {} cannot be used: {}", npu.signs.pci_address, npu.obstacle), npu.remedy);
}

double steady_seconds() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

}  // namespace

Result<NpuMeter> npu_meter(const std::filesystem::path& root, NpuPreference preference) {
  NpuMeter meter = {.seconds = steady_seconds, .joules = {}, .joules_seconds = kEnergySeconds};
  if (preference == NpuPreference::speed) return meter;
  auto energy = PackageEnergy::find(root);
  if (!energy) return pass_on(energy);
  meter.joules = [counter = std::make_shared<PackageEnergy>(std::move(*energy))] { return counter->joules(); };
  return meter;
}

Result<NpuOptions> npu_options_of(const DeviceName& name) {
  if (name.kind != "npu") {
    return fail(ErrorCode::invalid_argument, fmt::format("'{}' is no NPU", name.kind), "use npu or npu:FOLDER");
  }
  NpuOptions options = {.kernels = name.which, .xrt_library = name.xrt};
  if (name.memory_mebibytes) options.memory_bytes = *name.memory_mebibytes << 20;
  return options;
}

Result<std::unique_ptr<NpuOffload>> open_npu_offload(const NpuOptions& options) {
  const auto npu = find_usable_npu(options);
  if (!npu) return std::unexpected(npu.error());
  auto kernels = read_npu_kernels(options.kernels.empty() ? usual_npu_kernels() : options.kernels);
  if (!kernels) return pass_on(kernels);
  auto meter = options.meter ? Result<NpuMeter>(*options.meter) : npu_meter(options.root, options.prefer);
  if (!meter) return pass_on(meter);
  auto runtime = NpuRuntime::open(options.xrt_library, npu->signs.pci_address, options.patience);
  if (!runtime) return pass_on(runtime);
  return NpuOffload::create(std::move(*runtime), std::move(*kernels),
                            {.name = npu->signs.model.name,
                             .memory_bytes = options.memory_bytes.value_or(free_memory_bytes(options.root) / 4),
                             .prefer = options.prefer,
                             .meter = std::move(*meter),
                             .takes_from_tokens = options.takes_from_tokens});
}

Result<std::unique_ptr<Device>> open_npu_device(const NpuOptions& options, uint32_t threads) {
  auto offload = open_npu_offload(options);
  if (!offload) return pass_on(offload);
  return open_cpu_device(threads, std::move(*offload));
}

}  // namespace hearth
