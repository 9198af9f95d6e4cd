// Which of the devices that the loader lists is opened.
#include <fmt/format.h>

#include <algorithm>
#include <cctype>

#include "device/vulkan/gpu/gpu_properties.h"

namespace hearth::vulkan {
namespace {

bool contains_ignoring_case(std::string_view text, std::string_view part) {
  const auto same = [](unsigned char a, unsigned char b) { return std::tolower(a) == std::tolower(b); };
  return !std::ranges::search(text, part, same).empty() || part.empty();
}

/// Lower is better.
int rank(const GpuProperties& gpu) {
  if (gpu.compiles_only) return 5;
  switch (gpu.type) {
    case VK_PHYSICAL_DEVICE_TYPE_DISCRETE_GPU:
      return 0;
    case VK_PHYSICAL_DEVICE_TYPE_INTEGRATED_GPU:
      return 1;
    case VK_PHYSICAL_DEVICE_TYPE_VIRTUAL_GPU:
      return 2;
    case VK_PHYSICAL_DEVICE_TYPE_CPU:
      return 4;
    default:
      return 3;
  }
}

uint64_t own_bytes(const GpuProperties& gpu) {
  uint64_t bytes = 0;
  for (const MemoryHeap& heap : gpu.heaps) bytes += heap.device_local ? heap.bytes : 0;
  return bytes;
}

bool is_better(const GpuProperties& a, const GpuProperties& b) {
  return rank(a) != rank(b) ? rank(a) < rank(b) : own_bytes(a) > own_bytes(b);
}

bool is_hardware(const GpuProperties& gpu) { return gpu.type != VK_PHYSICAL_DEVICE_TYPE_CPU && !gpu.compiles_only; }

/// "0: llvmpipe, 1: Old GPU (no buffer device addresses)"
std::string list_of(std::span<const GpuProperties> found) {
  std::string list;
  for (size_t i = 0; i < found.size(); ++i) {
    list += fmt::format("{}{}: {}", i == 0 ? "" : ", ", i, found[i].name);
    if (!found[i].obstacle.empty()) list += fmt::format(" ({})", found[i].obstacle);
  }
  return list.empty() ? "none found" : list;
}

constexpr const char* kHint = "`hearth doctor` tells more; or use --device cpu";

}  // namespace

Result<uint32_t> choose_gpu(std::span<const GpuProperties> found, const GpuChoice& choice) {
  if (choice.index) {
    if (*choice.index >= found.size()) {
      return fail(ErrorCode::unsupported,
                  fmt::format("there is no Vulkan device {} ({})", *choice.index, list_of(found)), kHint);
    }
    const GpuProperties& gpu = found[*choice.index];
    if (!gpu.obstacle.empty()) {
      return fail(ErrorCode::unsupported,
                  fmt::format("hearth cannot run on {} ({}): {}", gpu.name, gpu.driver, gpu.obstacle),
                  "update its driver, or use --device cpu");
    }
    return *choice.index;
  }
  std::optional<uint32_t> best;
  for (uint32_t i = 0; i < found.size(); ++i) {
    const GpuProperties& gpu = found[i];
    if (!gpu.obstacle.empty() || !contains_ignoring_case(gpu.name, choice.name)) continue;
    if (choice.only_hardware && !is_hardware(gpu)) continue;
    if (!best || is_better(gpu, found[*best])) best = i;
  }
  if (best) return *best;
  const std::string named = choice.only_hardware  ? " but processors that play one"
                            : choice.name.empty() ? ""
                                                  : fmt::format(" whose name contains '{}'", choice.name);
  return fail(ErrorCode::unsupported,
              fmt::format("there is no Vulkan device{} that hearth can run on ({})", named, list_of(found)), kHint);
}

}  // namespace hearth::vulkan
