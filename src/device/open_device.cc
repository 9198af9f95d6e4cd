#include "device/open_device.h"

#include <fmt/format.h>
#include <spdlog/spdlog.h>

#include <algorithm>
#include <charconv>
#include <cstdlib>
#include <filesystem>

#include "base/usable_cores.h"
#include "device/cpu/cpu_device.h"
#include "device/device_name.h"
#include "device/npu/npu_device.h"
#include "device/reference/reference_device.h"
#ifdef HEARTH_VULKAN
#include "device/vulkan/vulkan_device.h"
#endif

namespace hearth {
namespace {

#ifdef HEARTH_VULKAN

/// $XDG_CACHE_HOME/hearth/pipelines or ~/.cache/hearth/pipelines; empty where neither is known.
std::filesystem::path pipeline_cache_folder() {
  if (const char* cache = std::getenv("XDG_CACHE_HOME"); cache != nullptr && *cache == '/') {
    return std::filesystem::path(cache) / "hearth" / "pipelines";
  }
  const char* home = std::getenv("HOME");
  return home != nullptr && *home == '/' ? std::filesystem::path(home) / ".cache" / "hearth" / "pipelines" : "";
}

/// HEARTH_VULKAN_TUNE, where it is set: seconds. Errors: invalid_argument.
Result<std::optional<double>> tune_seconds() {
  const char* text = std::getenv("HEARTH_VULKAN_TUNE");
  if (text == nullptr) return std::nullopt;
  const std::string_view number = text;
  double seconds = 0;
  const auto [end, error] = std::from_chars(number.data(), number.data() + number.size(), seconds);
  if (error != std::errc() || end != number.data() + number.size() || !(seconds >= 0)) {
    return fail(ErrorCode::invalid_argument, fmt::format("HEARTH_VULKAN_TUNE={} is no number of seconds", number),
                "0 measures nothing, 60 is enough for most models");
  }
  return seconds;
}

/// What a test says by environment variables counts where the name says nothing.
Result<std::unique_ptr<Device>> open_vulkan(const DeviceName& name, bool batch_invariant, bool only_hardware = false) {
  VulkanOptions options = {.only_hardware = only_hardware,
                           .validation = std::getenv("HEARTH_VULKAN_VALIDATION") != nullptr,
                           .pipeline_cache = pipeline_cache_folder(),
                           .batch_invariant = batch_invariant};
  auto seconds = tune_seconds();
  if (!seconds) return pass_on(seconds);
  options.tune_seconds = name.tune_seconds ? name.tune_seconds : *seconds;
  if (const char* megabytes = std::getenv("HEARTH_VULKAN_MEMORY_MB")) {
    options.memory_bytes = std::strtoull(megabytes, nullptr, 10) << 20;
  }
  if (name.memory_mebibytes) options.memory_bytes = *name.memory_mebibytes << 20;
  options.index = name.index();
  if (!options.index) options.name = name.which;
  auto device = open_vulkan_device(options);
  if (!device) return pass_on(device);
  if (const char* tuning = std::getenv("HEARTH_VULKAN_TUNING")) {
    if (auto set = (*device)->set_tuning(tuning); !set) return pass_on(set);
  }
  return std::move(*device);
}

#else

std::unexpected<Error> no_vulkan() {
  return fail(ErrorCode::unsupported, "this hearth was built without the Vulkan device",
              "build it where glslang >= 15.2 and Vulkan headers >= 1.4.300 are installed");
}

Result<std::unique_ptr<Device>> open_vulkan(const DeviceName&, bool, bool = false) { return no_vulkan(); }

#endif

Result<std::unique_ptr<Device>> open_npu(const DeviceName& name, uint32_t threads, bool batch_invariant,
                                         NpuPreference prefer) {
  if (batch_invariant) {
    return fail(ErrorCode::unsupported,
                "an NPU's products depend on how a prompt is cut into steps, which --batch-invariant rules out",
                "leave one of the two out; --device cpu is always batch-invariant");
  }
  auto options = npu_options_of(name);
  if (!options) return pass_on(options);
  options->prefer = prefer;
  return open_npu_device(*options, threads);
}

/// Whether a driver could reach a GPU at all: Mesa's and others through render nodes, NVIDIA's and WSL's through files
/// of their own. Asking Vulkan would load a software GPU where there is one, which takes time and memory.
bool has_gpu_node() {
  std::error_code error;
  for (std::filesystem::directory_iterator it("/dev/dri", error), end; !error && it != end; it.increment(error)) {
    if (it->path().filename().string().starts_with("renderD")) return true;
  }
  return std::filesystem::exists("/dev/nvidiactl", error) || std::filesystem::exists("/dev/dxg", error);
}

Result<std::unique_ptr<Device>> open_best_device(uint32_t threads, bool batch_invariant) {
  std::string reason = "this machine shows no GPU";
  if (has_gpu_node()) {
    auto gpu = open_vulkan({.kind = "vulkan"}, batch_invariant, true);
    if (gpu) {
      spdlog::info("device: {}, the best GPU that hearth can run on (--device cpu takes the processor)",
                   (*gpu)->info().name);
      return gpu;
    }
    reason = to_string(gpu.error());
  }
  auto processor = open_cpu_device(threads);
  if (processor) spdlog::info("device: {}, as {}", (*processor)->info().name, reason);
  return processor;
}

}  // namespace

#ifdef HEARTH_VULKAN
Result<nlohmann::ordered_json> describe_gpus() { return describe_vulkan_devices(pipeline_cache_folder()); }
#else
Result<nlohmann::ordered_json> describe_gpus() { return no_vulkan(); }
#endif

Result<std::unique_ptr<Device>> open_device(std::string_view name, uint32_t threads, bool batch_invariant,
                                            NpuPreference prefer) {
  if (threads == 0) threads = usable_cores();
  const auto parsed = parse_device_name(name);
  if (!parsed) return std::unexpected(parsed.error());
  if (parsed->kind == "auto") return open_best_device(threads, batch_invariant);
  if (parsed->kind == "cpu") return open_cpu_device(threads);
  if (parsed->kind == "reference") return open_reference_device(threads);
  if (parsed->kind == "npu") return open_npu(*parsed, threads, batch_invariant, prefer);
  return open_vulkan(*parsed, batch_invariant);
}

Result<std::vector<std::unique_ptr<Device>>> open_devices(std::string_view names, uint32_t threads,
                                                          bool batch_invariant, NpuPreference prefer) {
  std::vector<std::unique_ptr<Device>> devices;
  const auto all = split_device_names(names);
  const bool has_npu = std::ranges::any_of(all, [](std::string_view name) {
    const auto parsed = parse_device_name(name);
    return parsed && parsed->kind == "npu";
  });
  if (prefer == NpuPreference::power && !has_npu) {
    return fail(ErrorCode::invalid_argument,
                fmt::format("what takes less power is a choice between processor and NPU, and '{}' is no NPU", names),
                "use --device npu, or leave --prefer power out");
  }
  for (const std::string_view name : all) {
    auto device = open_device(name, threads, batch_invariant, prefer);
    if (!device) return pass_on(device);
    devices.push_back(std::move(*device));
  }
  return devices;
}

}  // namespace hearth
