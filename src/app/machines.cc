// Machines that people ask about, as their makers and drivers describe them. Where what reading or multiplying reaches
// was measured, by hearth or by others, it is that; else a usual part of what the book says.
#include "app/machines.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <optional>

#include "base/file.h"
#include "base/json.h"

namespace hearth::app {
namespace {

using Json = nlohmann::json;

constexpr uint64_t kGiB = uint64_t{1} << 30;

/// Of a card's book bandwidth, what reads reach where nobody measured it: 4545 of 4800 GB/s do on an H200.
constexpr double kReadShare = 0.9;

Json host_of(uint64_t gibibytes, double read_gb_per_second) {
  // A desktop leaves so much.
  const uint64_t system = std::min(4 * kGiB, gibibytes * kGiB / 8);
  return {{"total_bytes", gibibytes * kGiB},
          {"free_bytes", gibibytes * kGiB - system},
          {"read_gb_per_second", read_gb_per_second}};
}

Json heap(uint64_t bytes, bool device_local, bool host_visible) {
  return {{"bytes", bytes},
          {"device_local", device_local},
          {"host_visible", host_visible},
          {"budget_bytes", bytes},
          {"used_bytes", 0}};
}

Json rdna3_gpu(const std::string& name, bool integrated, Json heaps, uint32_t compute_units) {
  return {{"name", name},
          {"type", integrated ? "integrated GPU" : "discrete GPU"},
          {"driver", "RADV"},
          {"vendor_id", 0x1002},
          {"usable", true},
          {"subgroup_size", 32},
          {"subgroup_min", 32},
          {"subgroup_max", 64},
          {"shared_memory_bytes", 65536},
          {"workgroup_threads", 1024},
          {"compute_units", compute_units},
          {"largest_allocation_bytes", 4294967292},
          {"one_memory", integrated},
          {"heaps", std::move(heaps)},
          {"cooperative_matrices", {"16x16x16 f16 to f16", "16x16x16 f16 to f32", "16x16x16 i8 to i32"}},
          {"integer_dot_product", "in hardware"}};
}

/// A GPU in the processor: half of the memory is GTT, which with a carve-out of 512 MiB RADV shows as two thirds of the
/// device and a third of the host.
Json apu(const std::string& gpu_name, uint32_t compute_units, const std::string& cpu_name, uint32_t cores,
         uint64_t gibibytes, double read_gb_per_second, double f16_teraflops) {
  const uint64_t shared = gibibytes * kGiB / 2 + kGiB / 2;
  Json gpu =
      rdna3_gpu(gpu_name, true, {heap(shared / 3 * 2, true, true), heap(shared / 3, false, true)}, compute_units);
  gpu["read_gb_per_second"] = read_gb_per_second;
  gpu["f16_teraflops"] = f16_teraflops;
  return {{"cpu", {{"name", cpu_name}, {"usable_cores", cores}}},
          {"memory", host_of(gibibytes, read_gb_per_second)},
          {"gpus", {gpu}}};
}

Json with_card(Json gpu, double read_gb_per_second, double f16_teraflops) {
  gpu["read_gb_per_second"] = read_gb_per_second;
  gpu["f16_teraflops"] = f16_teraflops;
  return {{"cpu", {{"name", "a desktop's processor"}, {"usable_cores", 8}}},
          {"memory", host_of(64, 60)},
          {"gpus", {std::move(gpu)}}};
}

Json nvidia_gpu(const std::string& name, uint64_t bytes, uint32_t multiprocessors) {
  return {{"name", name},
          {"type", "discrete GPU"},
          {"driver", "NVIDIA"},
          {"vendor_id", 0x10de},
          {"usable", true},
          {"subgroup_size", 32},
          {"shared_memory_bytes", 49152},
          {"workgroup_threads", 1024},
          {"compute_units", multiprocessors},
          {"largest_allocation_bytes", 4292870144},
          {"heaps", {heap(bytes, true, false)}},
          {"cooperative_matrices", {"16x16x16 f16 to f32", "16x8x16 f16 to f32", "16x8x32 i8 to i32"}},
          {"integer_dot_product", "in hardware"}};
}

/// "64gb" of "780m-64gb", in GiB.
std::optional<uint64_t> memory_in(std::string_view name, std::string_view prefix) {
  if (!name.starts_with(prefix) || !name.ends_with("gb")) return {};
  name = name.substr(prefix.size(), name.size() - prefix.size() - 2);
  uint64_t gibibytes = 0;
  const auto [end, error] = std::from_chars(name.data(), name.data() + name.size(), gibibytes);
  const bool is_number = error == std::errc() && end == name.data() + name.size();
  return is_number && gibibytes >= 4 && gibibytes <= 4096 ? std::optional(gibibytes) : std::nullopt;
}

std::optional<Json> known_machine(const std::string& name) {
  // 73 to 87 of 89.6 GB/s (DDR5-5600) and 10.96 TFLOPS through cooperative matrices were measured by others.
  if (const auto memory = memory_in(name, "780m-")) {
    return apu("AMD Radeon 780M", 12, "AMD Ryzen 7 8845HS", 8, *memory, 80, 10.96);
  }
  // LPDDR5X-8000 on 256 bits: 256 GB/s by the book; 40 units at 2.9 GHz of 512 operations each.
  if (const auto memory = memory_in(name, "8060s-")) {
    return apu("AMD Radeon 8060S", 40, "AMD Ryzen AI Max+ 395", 16, *memory, 256 * kReadShare, 59.4 * 0.6);
  }
  if (name == "rx7900xtx") {
    const Json gpu = rdna3_gpu("AMD Radeon RX 7900 XTX", false, {heap(24 * kGiB, true, false)}, 96);
    return with_card(gpu, 960 * kReadShare, 122.8 * 0.6);
  }
  if (name == "rtx4090") {
    return with_card(nvidia_gpu("NVIDIA GeForce RTX 4090", 24564 * (uint64_t{1} << 20), 128), 1008 * kReadShare, 165.2);
  }
  // Measured by hearth (docs/performance.md), and the book's.
  if (name == "h200") return with_card(nvidia_gpu("NVIDIA H200", 143771 * (uint64_t{1} << 20), 132), 4545, 989);
  return {};
}

}  // namespace

Result<Json> find_machine(const std::string& name) {
  if (auto known = known_machine(name)) return *known;
  std::error_code error;
  if (!std::filesystem::exists(name, error)) {
    return fail(ErrorCode::invalid_argument,
                fmt::format("'{}' is neither a machine that hearth knows nor a file", name),
                "there are 780m-64gb, 8060s-128gb (with any memory), rx7900xtx, rtx4090, h200, and files of `hearth "
                "doctor --json`");
  }
  auto text = read_whole_file(name);
  if (!text) return pass_on(text);
  return parse_json(*text, name);
}

}  // namespace hearth::app
