#include "app/examine_machine.h"

#include <unistd.h>

#include <algorithm>
#include <array>
#include <fstream>
#include <sstream>
#include <thread>

#include "app/describe_amd.h"
#include "app/gpu_notes.h"
#include "app/measure_disk.h"
#include "app/version.h"
#include "base/attribute_file.h"
#include "base/free_memory.h"
#include "base/kernel.h"
#include "base/lockable_memory.h"
#include "base/numa_nodes.h"
#include "base/reading/watched_call.h"
#include "base/thread_pool.h"
#include "base/usable_cores.h"
#include "device/cpu/bandwidth.h"
#include "device/cpu/cpu_isa.h"
#include "device/npu/compare_npu.h"

namespace hearth::app {
namespace {

using Json = nlohmann::ordered_json;
namespace fs = std::filesystem;

/// Those of the processor's features that matter to products of numbers, as the kernel calls them.
Json cpu_features(const fs::path& root) {
  constexpr std::array kWanted = {"avx",      "avx2",        "fma",         "f16c",     "avx_vnni", "avx512f",
                                  "avx512bw", "avx512_vnni", "avx512_bf16", "amx_tile", "amx_int8", "amx_bf16"};
  Json features = Json::array();
  std::ifstream file(root / "proc/cpuinfo");
  for (std::string line; std::getline(file, line);) {
    if (!line.starts_with("flags")) continue;
    std::istringstream words(line);
    for (std::string word; words >> word;) {
      if (std::ranges::find(kWanted, word) != kWanted.end()) features.push_back(word);
    }
    break;
  }
  return features;
}

Json describe_cpu(const fs::path& root) {
  Json sets = Json::array();
  for (const cpu::Kernels* kernels : cpu::available_kernels()) sets.push_back(kernels->name);
  return {{"name", cpu::processor_name()},
          {"cores", std::thread::hardware_concurrency()},
          {"usable_cores", usable_cores(root)},
          {"features", cpu_features(root)},
          {"instruction_sets", sets}};
}

/// In bytes; null where there is no limit or none is known.
Json lockable(const fs::path& root) {
  const auto bytes = lockable_bytes(root);
  return bytes && *bytes != UINT64_MAX ? Json(*bytes) : Json(nullptr);
}

Json describe_memory(const MachineSources& sources) {
  const auto pages = static_cast<uint64_t>(sysconf(_SC_PHYS_PAGES));
  const uint64_t free_bytes = free_memory_bytes(sources.root);
  Json memory = {{"total_bytes", pages * static_cast<uint64_t>(sysconf(_SC_PAGESIZE))},
                 {"free_bytes", free_bytes},
                 {"lockable_bytes", lockable(sources.root)},
                 {"read_gb_per_second", nullptr}};
  constexpr uint64_t kEnough = 2U << 30;  // four times what measuring takes where caches are not huge
  if (sources.measure_memory && free_bytes >= kEnough) {
    ThreadPool pool(usable_cores(sources.root));
    if (const double speed = cpu::measure_read_bandwidth(pool); speed > 0) memory["read_gb_per_second"] = speed;
  }
  return memory;
}

Json or_null(std::optional<uint64_t> number) { return number ? Json(*number) : Json(nullptr); }

Json describe_numa_nodes(const fs::path& root) {
  Json nodes = Json::array();
  for (const NumaNode& node : numa_nodes(root)) {
    nodes.push_back({{"number", node.number},
                     {"cpus", node.cpus},
                     {"memory_bytes", or_null(node.memory_bytes)},
                     {"free_bytes", or_null(node.free_bytes)}});
  }
  return nodes;
}

/// The files through which drivers reach GPUs, and whether this user may open them.
Json describe_render_nodes(const fs::path& root) {
  Json nodes = Json::array();
  for (const fs::path& path : folder_entries(root / "dev/dri")) {
    if (!path.filename().string().starts_with("renderD")) continue;
    nodes.push_back({{"path", path}, {"usable", access(path.c_str(), R_OK | W_OK) == 0}});
  }
  return nodes;
}

void add_gpus(const MachineSources& sources, Json& report) {
  // The loader opens every driver's devices, and a GPU that is being reset may keep it waiting.
  auto gpus = watched_call(
      [describe = sources.describe_gpus] {
        const AsksFile asks("the Vulkan driver", "its devices were listed");
        return describe();
      },
      sources.gpu_patience, {});
  report["gpus"] = gpus ? *gpus : Json::array();
  for (Json& gpu : report["gpus"]) gpu["notes"] = gpu_notes(gpu);
  report["gpu_error"] = gpus ? Json(nullptr) : Json(to_string(gpus.error()));
  report["render_nodes"] = describe_render_nodes(sources.root);
}

/// What a driver does not answer in time is left out, with the reason.
void add_amd(const MachineSources& sources, Json& report) {
  const auto read = [root = sources.root]() -> Result<AmdSystem> { return read_amd_system(root); };
  const auto system = watched_call(read, sources.patience, {});
  report["amd_gpus"] = system ? describe_amd_gpus(*system) : Json::array();
  report["amd_gpu_error"] = system ? Json(nullptr) : Json(to_string(system.error()));
  const auto npus = detect_npus(sources.root, sources.npu_driver, sources.patience);
  report["npus"] = npus ? describe_npus(*npus) : Json::array();
  report["npu_error"] = npus ? Json(nullptr) : Json(to_string(npus.error()));
  report["npu_comparison"] = nullptr;
  const bool is_usable = npus && std::ranges::find(*npus, NpuState::usable, &Npu::state) != npus->end();
  if (!sources.npu || !is_usable) return;
  NpuOptions options = *sources.npu;
  options.root = sources.root;
  options.driver = sources.npu_driver;
  report["npu_comparison"] = describe_npu_report(compare_npu(options, usable_cores(sources.root)));
}

Json describe_disk(const MachineSources& sources) {
  if (sources.folder.empty()) return nullptr;
  const auto speed = measure_disk(sources.folder, sources.patience);
  if (!speed) return {{"folder", sources.folder}, {"error", to_string(speed.error())}};
  return {{"folder", sources.folder},
          {"error", nullptr},
          {"file", speed->file},
          {"bytes", speed->bytes},
          {"seconds", speed->seconds},
          {"gb_per_second", static_cast<double>(speed->bytes) / speed->seconds * 1e-9},
          {"past_page_cache", speed->past_page_cache},
          {"way", speed->way}};
}

}  // namespace

Json examine_machine(const MachineSources& sources) {
  const auto kernel = kernel_release(sources.root);
  Json report = {{"hearth", kVersion},
                 {"kernel", kernel ? Json(*kernel) : Json(nullptr)},
                 {"cpu", describe_cpu(sources.root)},
                 {"memory", describe_memory(sources)},
                 {"numa_nodes", describe_numa_nodes(sources.root)},
                 {"disk", describe_disk(sources)}};
  add_gpus(sources, report);
  add_amd(sources, report);
  return report;
}

}  // namespace hearth::app
