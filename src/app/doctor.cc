// What this machine has for hearth, what it lacks, and why.
#include <fmt/format.h>
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <thread>

#include "app/commands.h"
#include "app/version.h"
#include "base/free_memory.h"
#include "base/usable_cores.h"
#include "device/cpu/cpu_isa.h"
#include "device/npu/npu_detection.h"
#include "device/open_device.h"

namespace hearth::app {
namespace {

using Json = nlohmann::ordered_json;

Json describe_cpu() {
  Json sets = Json::array();
  for (const cpu::Kernels* kernels : cpu::available_kernels()) sets.push_back(kernels->name);
  return {{"name", cpu::processor_name()},
          {"cores", std::thread::hardware_concurrency()},
          {"usable_cores", usable_cores()},
          {"instruction_sets", sets}};
}

/// In bytes; null where there is no limit.
Json limit_of(__rlimit_resource resource) {
  rlimit limit = {};
  if (getrlimit(resource, &limit) != 0 || limit.rlim_cur == RLIM_INFINITY) return nullptr;
  return limit.rlim_cur;
}

Json describe_memory() {
  const auto pages = static_cast<uint64_t>(sysconf(_SC_PHYS_PAGES));
  return {{"total_bytes", pages * static_cast<uint64_t>(sysconf(_SC_PAGESIZE))},
          {"free_bytes", free_memory_bytes()},
          {"lockable_bytes", limit_of(RLIMIT_MEMLOCK)}};
}

/// The files through which drivers reach GPUs, and whether this user may open them.
Json describe_render_nodes() {
  Json nodes = Json::array();
  std::error_code error;
  for (std::filesystem::directory_iterator it("/dev/dri", error), end; !error && it != end; it.increment(error)) {
    const std::string path = it->path();
    if (!it->path().filename().string().starts_with("renderD")) continue;
    nodes.push_back({{"path", path}, {"usable", access(path.c_str(), R_OK | W_OK) == 0}});
  }
  return nodes;
}

Json describe_npus() {
  Json all = Json::array();
  for (const Npu& npu : detect_npus()) {
    all.push_back({{"pci_address", npu.pci_address},
                   {"device_id", npu.device_id},
                   {"generation", npu.generation},
                   {"name", npu.vbnv},
                   {"firmware", npu.firmware},
                   {"node", npu.node},
                   {"obstacle", npu.obstacle.empty() ? Json(nullptr) : Json(npu.obstacle)}});
  }
  return all;
}

Json examine() {
  Json report = {{"hearth", kVersion}, {"cpu", describe_cpu()}, {"memory", describe_memory()}};
  auto gpus = describe_gpus();
  report["gpus"] = gpus ? *gpus : Json::array();
  report["gpu_error"] = gpus ? Json(nullptr) : Json(to_string(gpus.error()));
  report["render_nodes"] = describe_render_nodes();
  report["npus"] = describe_npus();
  return report;
}

std::string gigabytes(const Json& bytes) { return fmt::format("{:.1f} GB", bytes.get<double>() / 1e9); }

/// A property for people: sizes with a unit, lists in one line.
std::string text_of(const std::string& name, const Json& value) {
  if (value.is_null()) return "no";
  if (value.is_boolean()) return value.get<bool>() ? "yes" : "no";
  if (value.is_string()) return value.get<std::string>();
  if (value.is_array()) {
    std::string text;
    for (const Json& item : value) text += (text.empty() ? "" : ", ") + text_of(name, item);
    return text.empty() ? "none" : text;
  }
  if (name.ends_with("_id")) return fmt::format("{:#06x}", value.get<uint32_t>());
  if (name == "shared_memory_bytes") return fmt::format("{} KiB", value.get<uint64_t>() / 1024);
  if (name.ends_with("_bytes")) return gigabytes(value);
  return value.dump();
}

void print_heaps(const Json& heaps) {
  for (size_t i = 0; i < heaps.size(); ++i) {
    const Json& heap = heaps[i];
    fmt::print("  {:26} {}, {}{}, of which {} may be used and {} are\n", fmt::format("heap {}", i),
               gigabytes(heap["bytes"]), heap["device_local"].get<bool>() ? "of the device" : "of the system",
               heap["host_visible"].get<bool>() ? ", seen by the CPU" : "", gigabytes(heap["budget_bytes"]),
               gigabytes(heap["used_bytes"]));
  }
}

/// What was measured on a device at earlier starts, a line for each kind of matmul.
void print_kept_tuning(const Json& kept) {
  const char* name = "measured tuning";
  if (kept.is_null()) return fmt::print("  {:26} none kept; it is measured while a model has nothing to do\n", name);
  const std::string file = kept["file"];
  if (kept.contains("ignored")) return fmt::print("  {:26} ignored: {}\n", name, kept["ignored"].get<std::string>());
  fmt::print("  {:26} {}\n", name, file);
  for (const Json& operation : kept["operations"]) {
    std::string counts;
    size_t changed = 0;
    for (const Json& choice : operation["choices"]) {
      counts += (counts.empty() ? "" : ", ") + choice["tokens"].dump();
      changed += choice["tuning"].empty() ? 0 : 1;
    }
    fmt::print("    {}: {} of {} choices differ from the table's; for {} tokens\n",
               operation["operation"].get<std::string>(), changed, operation["choices"].size(), counts);
  }
}

void print_gpus(const Json& report) {
  const Json& gpus = report["gpus"];
  if (gpus.empty()) fmt::print("\nGPU: none for Vulkan\n");
  if (!report["gpu_error"].is_null()) fmt::print("  {}\n", report["gpu_error"].get<std::string>());
  for (size_t i = 0; i < gpus.size(); ++i) {
    const Json& gpu = gpus[i];
    const bool usable = gpu["usable"];
    fmt::print("\nGPU {} (--device vulkan:{}): {}{}\n", i, i, gpu["name"].get<std::string>(),
               usable ? "" : ", cannot be used: " + gpu["obstacle"].get<std::string>());
    for (const auto& [name, value] : gpu.items()) {
      if (name == "heaps") {
        print_heaps(value);
      } else if (name == "kept_tuning") {
        print_kept_tuning(value);
      } else if (name != "name" && name != "usable" && name != "obstacle") {
        std::string label = name;
        std::ranges::replace(label, '_', ' ');
        fmt::print("  {:26} {}\n", label, text_of(name, value));
      }
    }
  }
  for (const Json& node : report["render_nodes"]) {
    if (node["usable"]) continue;
    fmt::print("  {} may not be opened; join the group render and log in again\n", node["path"].get<std::string>());
  }
}

void print_npus(const Json& npus) {
  if (npus.empty()) fmt::print("\nNPU: none of AMD's\n");
  for (const Json& npu : npus) {
    fmt::print("\nNPU: {} at {}{}\n", npu["generation"].get<std::string>(), npu["pci_address"].get<std::string>(),
               npu["obstacle"].is_null() ? "" : ", cannot be used: " + npu["obstacle"].get<std::string>());
    if (!npu["firmware"].get<std::string>().empty()) fmt::print("  firmware {}\n", npu["firmware"].get<std::string>());
    fmt::print("  hearth does not compute on NPUs yet\n");
  }
}

void print_report(const Json& report) {
  const Json& cpu = report["cpu"];
  const Json& memory = report["memory"];
  fmt::print("hearth {}\n\nCPU: {}\n  {} cores, {} usable by this process\n  kernels for {}\n", kVersion,
             cpu["name"].get<std::string>(), cpu["cores"].dump(), cpu["usable_cores"].dump(),
             text_of("", cpu["instruction_sets"]));
  fmt::print("\nMemory: {}, {} free; {} may be locked\n", gigabytes(memory["total_bytes"]),
             gigabytes(memory["free_bytes"]),
             memory["lockable_bytes"].is_null() ? std::string("all of it") : gigabytes(memory["lockable_bytes"]));
  print_gpus(report);
  print_npus(report["npus"]);
}

}  // namespace

void add_doctor(CLI::App& app, Command& chosen) {
  auto json = std::make_shared<bool>(false);
  CLI::App* command = app.add_subcommand("doctor", "Show what this machine has for hearth, what it lacks, and why");
  command->add_flag("--json", *json, "print one JSON object");
  command->footer("Example: hearth doctor --json");
  command->callback([json, &chosen] {
    chosen = [json]() -> Result<void> {
      const Json report = examine();
      if (*json) {
        fmt::print("{}\n", report.dump(-1, ' ', false, Json::error_handler_t::replace));
      } else {
        print_report(report);
      }
      return {};
    };
  });
}

}  // namespace hearth::app
