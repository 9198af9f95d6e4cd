#include "device/open_device.h"

#include <fmt/format.h>
#include <sched.h>

#include "device/cpu/cpu_device.h"
#include "device/reference/reference_device.h"

namespace hearth {
namespace {

/// Cores that this process may run on, which in a container are often fewer than the machine has.
uint32_t usable_cores() {
  cpu_set_t set;
  if (sched_getaffinity(0, sizeof(set), &set) != 0) return 1;
  return static_cast<uint32_t>(CPU_COUNT(&set));
}

}  // namespace

Result<std::unique_ptr<Device>> open_device(std::string_view name, uint32_t threads) {
  if (threads == 0) threads = usable_cores();
  if (name == "auto" || name == "cpu") return open_cpu_device(threads);
  if (name == "reference") return open_reference_device(threads);
  return fail(ErrorCode::invalid_argument, fmt::format("no device is called '{}'", name), "use auto, cpu or reference");
}

}  // namespace hearth
