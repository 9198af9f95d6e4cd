#include "device/open_device.h"

#include <fmt/format.h>
#include <sched.h>

#include <charconv>

#include "device/cpu/cpu_device.h"
#include "device/reference/reference_device.h"
#ifdef HEARTH_VULKAN
#include "device/vulkan/vulkan_device.h"
#endif

namespace hearth {
namespace {

/// Cores that this process may run on, which in a container are often fewer than the machine has.
uint32_t usable_cores() {
  cpu_set_t set;
  if (sched_getaffinity(0, sizeof(set), &set) != 0) return 1;
  return static_cast<uint32_t>(CPU_COUNT(&set));
}

/// "vulkan" or "vulkan:N".
Result<std::unique_ptr<Device>> open_vulkan(std::string_view name) {
#ifdef HEARTH_VULKAN
  VulkanOptions options;
  std::string_view number = name.substr(std::string_view("vulkan").size());
  if (!number.empty()) {
    number.remove_prefix(1);
    const auto [end, error] = std::from_chars(number.data(), number.data() + number.size(), options.index);
    if (error != std::errc() || end != number.data() + number.size()) {
      return fail(ErrorCode::invalid_argument, fmt::format("'{}' names no Vulkan device", name), "use vulkan:0");
    }
  }
  auto device = open_vulkan_device(options);
  if (!device) return pass_on(device);
  return std::move(*device);
#else
  return fail(ErrorCode::unsupported, fmt::format("{}: this hearth was built without the Vulkan device", name),
              "build it where glslang >= 15.2 and Vulkan headers >= 1.4.300 are installed");
#endif
}

}  // namespace

Result<std::unique_ptr<Device>> open_device(std::string_view name, uint32_t threads) {
  if (threads == 0) threads = usable_cores();
  if (name == "auto" || name == "cpu") return open_cpu_device(threads);
  if (name == "reference") return open_reference_device(threads);
  if (name == "vulkan" || name.starts_with("vulkan:")) return open_vulkan(name);
  return fail(ErrorCode::invalid_argument, fmt::format("no device is called '{}'", name),
              "use auto, cpu, vulkan, vulkan:N or reference");
}

}  // namespace hearth
