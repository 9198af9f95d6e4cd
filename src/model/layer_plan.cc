#include "model/layer_plan.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <numeric>

namespace hearth {
namespace {

std::string size_text(uint64_t bytes) {
  const auto value = static_cast<double>(bytes);
  return bytes < 1'000'000'000 ? fmt::format("{:.1f} MB", value / 1e6) : fmt::format("{:.2f} GB", value / 1e9);
}

class Planner {
 public:
  explicit Planner(std::span<const PlannedDevice> devices)
      : devices_(devices), has_gpu_(std::ranges::any_of(devices, &PlannedDevice::is_gpu)) {
    for (const PlannedDevice& device : devices) {
      uint64_t& bytes = pools_[device.pool];
      bytes = std::max(bytes, device.usable_bytes);
    }
  }

  uint32_t layers() const { return static_cast<uint32_t>(devices_.front().layer_bytes.size()); }
  bool has_gpu() const { return has_gpu_; }
  bool has_processor() const { return !std::ranges::all_of(devices_, &PlannedDevice::is_gpu); }

  /// As evenly as can be with so many layers on the processor; nothing where they do not fit.
  std::optional<LayerPlan> share(uint32_t on_processor) const {
    auto best = fill(on_processor, 1.0);
    if (!best) return best;
    double low = 0, high = 1;
    for (int halvings = 0; halvings < 64; ++halvings) {
      const double middle = (low + high) / 2;
      auto plan = fill(on_processor, middle);
      (plan ? high : low) = middle;
      if (plan) best = std::move(plan);
    }
    return best;
  }

 private:
  bool takes_the_rest(const PlannedDevice& device) const { return has_gpu_ && !device.is_gpu; }

  /// Fills device after device up to a part of what each has; the processor may be filled up.
  std::optional<LayerPlan> fill(uint32_t on_processor, double part) const {
    std::map<uint64_t, uint64_t> used;
    LayerPlan plan;
    uint32_t next = 0;
    for (const PlannedDevice& device : devices_) {
      const bool rest = takes_the_rest(device);
      const uint32_t most = rest ? on_processor : layers() - next - on_processor;
      const uint64_t left = pools_.at(device.pool) - used[device.pool];
      const uint64_t limit = std::min(left, part_of(device.usable_bytes, rest ? 1.0 : part));
      uint32_t count = 0;
      while (count < most && device.bytes_of(next, count + 1) <= limit) ++count;
      if (next + count < layers()) count = std::min(count, device.whole_from - std::min(next, device.whole_from));
      used[device.pool] += device.bytes_of(next, count);
      next += count;
      if (rest) on_processor -= count;
      plan.push_back(count);
    }
    return next == layers() ? std::optional(plan) : std::nullopt;
  }

  static uint64_t part_of(uint64_t bytes, double part) {
    return part >= 1 ? bytes : static_cast<uint64_t>(static_cast<double>(bytes) * part);
  }

  std::span<const PlannedDevice> devices_;
  bool has_gpu_;
  std::map<uint64_t, uint64_t> pools_;  // what each has
};

std::unexpected<Error> does_not_fit(std::span<const PlannedDevice> devices, const std::string& hint) {
  std::string text;
  for (const PlannedDevice& device : devices) {
    const auto layers = static_cast<uint32_t>(device.layer_bytes.size());
    text += fmt::format("{} {} on {}, which has {} for it", text.empty() ? "" : ", and",
                        size_text(device.bytes_of(0, layers)), device.name, size_text(device.usable_bytes));
  }
  return fail(ErrorCode::out_of_memory, fmt::format("the model does not fit: it takes{}", text), hint);
}

}  // namespace

uint64_t PlannedDevice::bytes_of(uint32_t first, uint32_t count) const {
  if (count == 0) return 0;
  const auto begin = layer_bytes.begin() + first;
  uint64_t bytes = std::accumulate(begin, begin + count, step_bytes);
  const bool has_first = first == 0, has_last = first + count == layer_bytes.size();
  if (has_first) bytes += embedding_bytes;
  if (has_last && !(tied && has_first)) bytes += head_bytes;
  return bytes;
}

Result<LayerPlan> plan_layers(std::span<const PlannedDevice> devices, std::optional<uint32_t> gpu_layers) {
  const Planner planner(devices);
  const uint32_t layers = planner.layers();
  if (gpu_layers) {
    if (*gpu_layers > 0 && !planner.has_gpu()) {
      return fail(ErrorCode::invalid_argument, "layers are asked for on a GPU, and there is none",
                  "use --device vulkan");
    }
    if (*gpu_layers < layers && !planner.has_processor()) {
      return fail(ErrorCode::invalid_argument, "layers are left for the processor, which is not among the devices");
    }
    const uint32_t whole = devices.front().whole_from;
    if (whole<layers&& * gpu_layers> 0 && *gpu_layers < layers - whole) {
      return fail(
          ErrorCode::invalid_argument,
          fmt::format("layers {} to {} share keys and values, so {} of them cannot be on a GPU without the rest", whole,
                      layers - 1, *gpu_layers),
          fmt::format("use --gpu-layers {} or more, or 0", layers - whole));
    }
  }
  const uint32_t most_on_processor = planner.has_gpu() && planner.has_processor() ? layers : 0;
  if (gpu_layers && planner.has_gpu()) {
    if (auto plan = planner.share(layers - std::min(layers, *gpu_layers))) return *plan;
  }
  for (uint32_t on_processor = 0; on_processor <= most_on_processor; ++on_processor) {
    auto plan = planner.share(on_processor);
    if (!plan) continue;
    if (!gpu_layers || !planner.has_gpu()) return *plan;
    return does_not_fit(devices, fmt::format("--gpu-layers {} would fit", layers - on_processor));
  }
  return does_not_fit(devices, "use a smaller model or a shorter context");
}

}  // namespace hearth
