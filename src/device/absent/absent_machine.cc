#include "device/absent/absent_machine.h"

#include <fmt/format.h>

#include <algorithm>

#include "device/absent/absent_device.h"
#include "device/cpu/cpu_device.h"
#include "device/device_name.h"
#ifdef HEARTH_VULKAN
#include "device/vulkan/absent_gpu.h"
#endif

namespace hearth {
namespace {

using Json = nlohmann::json;

std::unexpected<Error> no_description(const std::string& what) {
  return fail(ErrorCode::invalid_argument, fmt::format("the description of the machine {}", what),
              "`hearth doctor --json` writes one");
}

/// The processor, which lays things out as this one does.
class AbsentProcessor final : public AbsentDevice {
 public:
  AbsentProcessor(Description description, std::unique_ptr<Device> sizes)
      : AbsentDevice(std::move(description)), sizes_(std::move(sizes)) {}

  Result<uint64_t> declared_bytes(const MatrixSpec& spec) const override { return sizes_->declared_bytes(spec); }
  uint64_t cache_block_bytes(const CacheLayerSpec& layer) const override { return sizes_->cache_block_bytes(layer); }
  Result<uint64_t> program_bytes(const Recording& recording, std::span<const MatrixSpec> matrices,
                                 const ProgramLimits& limits) const override {
    return sizes_->program_bytes(recording, matrices, limits);
  }
  uint64_t staging_bytes(const Recording& recording, const ProgramLimits& limits,
                         std::span<const uint32_t> blocks_per_group) const override {
    return sizes_->staging_bytes(recording, limits, blocks_per_group);
  }

 private:
  const std::unique_ptr<Device> sizes_;
};

struct Machine {
  Json description;
  DeviceMemory host;

  Result<std::unique_ptr<Device>> processor() const {
    const Json& cpu = description["cpu"];
    const auto threads = std::max(cpu.value("usable_cores", 1U), 1U);
    // Its threads are started, but have nothing to do.
    auto sizes = open_cpu_device(std::min(threads, 256U));
    if (!sizes) return sizes;
    const std::string name = cpu.value("name", "processor");
    return std::make_unique<AbsentProcessor>(
        AbsentDevice::Description{.info = {.kind = "cpu",
                                           .name = name,
                                           .description = fmt::format("{} threads", threads),
                                           .threads = threads,
                                           .is_absent = true},
                                  .memory = host,
                                  .bandwidth_gb_per_second = description["memory"].value("read_gb_per_second", 0.0)},
        std::move(*sizes));
  }

  Result<std::unique_ptr<Device>> gpu([[maybe_unused]] const DeviceName& name) const {
#ifdef HEARTH_VULKAN
    return open_absent_gpu(description.value("gpus", Json::array()), name, host);
#else
    return fail(ErrorCode::unsupported, "this hearth was built without the Vulkan device");
#endif
  }

  Result<std::unique_ptr<Device>> open(std::string_view text) const {
    const auto name = parse_device_name(text);
    if (!name) return std::unexpected(name.error());
    if (name->kind == "vulkan") return gpu(*name);
    if (name->kind == "auto") {
      if (auto found = gpu(*name); found || found.error().code != ErrorCode::unsupported) return found;
      return processor();
    }
    if (name->kind == "cpu") return processor();
    return fail(ErrorCode::unsupported, fmt::format("there are no plans for {}", name->kind), "use cpu or vulkan");
  }
};

Result<Machine> read_machine(const Json& description) {
  if (!description.is_object() || !description.contains("memory") || !description["memory"].is_object()) {
    return no_description("has no memory");
  }
  Machine machine = {.description = description, .host = {.name = "the host"}};
  if (!machine.description.contains("cpu")) machine.description["cpu"] = Json::object();
  const uint64_t free = description["memory"].value("free_bytes", uint64_t{0});
  if (free == 0) return no_description("says of no free memory");
  machine.host.free_bytes = free;
  return machine;
}

}  // namespace

Result<std::vector<std::unique_ptr<Device>>> open_absent_devices(const Json& description, std::string_view names) {
  try {
    auto machine = read_machine(description);
    if (!machine) return pass_on(machine);
    std::vector<std::unique_ptr<Device>> devices;
    for (const std::string_view name : split_device_names(names)) {
      auto device = machine->open(name);
      if (!device) return pass_on(device);
      devices.push_back(std::move(*device));
    }
    return devices;
  } catch (const Json::exception& error) {
    return no_description(fmt::format("is not as doctor writes it: {}", error.what()));
  }
}

}  // namespace hearth
