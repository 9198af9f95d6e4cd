#include "app/print_machine.h"

#include <fmt/format.h>

#include <algorithm>

#include "app/machine_values.h"

namespace hearth::app {
namespace {

using Json = nlohmann::ordered_json;

std::string heaps_text(const Json& heaps) {
  std::string text;
  for (size_t i = 0; i < heaps.size(); ++i) {
    const Json& heap = heaps[i];
    text += property(fmt::format("heap {}", i),
                     fmt::format("{}, {}{}, of which {} may be used and {} are", gigabytes(heap["bytes"]),
                                 heap["device_local"].get<bool>() ? "of the device" : "of the system",
                                 heap["host_visible"].get<bool>() ? ", seen by the CPU" : "",
                                 gigabytes(heap["budget_bytes"]), gigabytes(heap["used_bytes"])));
  }
  return text;
}

/// What was measured on a device at earlier starts, a line for each kind of matmul.
std::string kept_tuning_text(const Json& kept) {
  const char* name = "measured tuning";
  if (kept.is_null()) return property(name, "none kept; it is measured while a model has nothing to do");
  if (kept.contains("ignored")) return property(name, "ignored: " + kept["ignored"].get<std::string>());
  std::string text = property(name, kept["file"].get<std::string>());
  for (const Json& operation : kept["operations"]) {
    std::string counts;
    size_t changed = 0;
    for (const Json& choice : operation["choices"]) {
      counts += (counts.empty() ? "" : ", ") + choice["tokens"].dump();
      changed += choice["tuning"].empty() ? 0 : 1;
    }
    text += fmt::format("    {}: {} of {} choices differ from the table's; for {} tokens\n",
                        operation["operation"].get<std::string>(), changed, operation["choices"].size(), counts);
  }
  return text;
}

std::string gpu_text(const Json& gpu, size_t index) {
  std::string text =
      fmt::format("\nGPU {} (--device vulkan:{}): {}{}\n", index, index, gpu["name"].get<std::string>(),
                  gpu["usable"].get<bool>() ? "" : ", cannot be used: " + gpu["obstacle"].get<std::string>());
  for (const auto& [name, value] : gpu.items()) {
    if (name == "heaps") {
      text += heaps_text(value);
    } else if (name == "kept_tuning") {
      text += kept_tuning_text(value);
    } else if (name != "name" && name != "usable" && name != "obstacle" && name != "notes") {
      std::string label = name;
      std::ranges::replace(label, '_', ' ');
      text += property(label, value_text(name, value));
    }
  }
  for (const Json& use : gpu["notes"]["uses"]) text += property("hearth uses", use.get<std::string>());
  for (const Json& lack : gpu["notes"]["lacks"]) text += property("it lacks", lack.get<std::string>());
  return text;
}

std::string gpus_text(const Json& report) {
  const Json& gpus = report["gpus"];
  std::string text = gpus.empty() ? "\nGPU: none for Vulkan\n" : "";
  if (!report["gpu_error"].is_null()) text += fmt::format("  {}\n", report["gpu_error"].get<std::string>());
  for (size_t i = 0; i < gpus.size(); ++i) text += gpu_text(gpus[i], i);
  for (const Json& node : report["render_nodes"]) {
    if (node["usable"]) continue;
    text += fmt::format("  {} may not be opened; join the group render and log in again\n",
                        node["path"].get<std::string>());
  }
  return text;
}

std::string cpu_text(const Json& report) {
  const Json& cpu = report["cpu"];
  return fmt::format("CPU: {}\n", cpu["name"].get<std::string>()) +
         property("cores",
                  fmt::format("{}, {} usable by this process", cpu["cores"].dump(), cpu["usable_cores"].dump())) +
         property("kernels for", value_text("", cpu["instruction_sets"])) +
         property("features", value_text("", cpu["features"])) + property("Linux", value_text("", report["kernel"]));
}

std::string memory_text(const Json& report) {
  const Json& memory = report["memory"];
  std::string text = fmt::format(
      "\nMemory: {}, {} free; {} may be locked\n", gigabytes(memory["total_bytes"]), gigabytes(memory["free_bytes"]),
      memory["lockable_bytes"].is_null() ? "all of it" : gigabytes(memory["lockable_bytes"]));
  if (!memory["read_gb_per_second"].is_null()) {
    text += property("reads", fmt::format("{:.1f} GB/s by all usable cores, measured now",
                                          memory["read_gb_per_second"].get<double>()));
  }
  for (const Json& node : report["numa_nodes"]) {
    const std::string cpus = node["cpus"];
    text += property(fmt::format("NUMA node {}", node["number"].get<uint32_t>()),
                     fmt::format("{}, {} free; {}", gigabytes(node["memory_bytes"]), gigabytes(node["free_bytes"]),
                                 cpus.empty() ? "no cores" : "cores " + cpus));
  }
  return text;
}

std::string disk_text(const Json& disk) {
  if (disk.is_null()) return "";
  const std::string heading = fmt::format("\nDisk of {}\n", disk["folder"].get<std::string>());
  if (!disk["error"].is_null()) return heading + property("not measured", disk["error"].get<std::string>());
  const bool is_disk = disk["past_page_cache"];
  return heading +
         property("reads", fmt::format("{:.2f} GB/s, {}", disk["gb_per_second"].get<double>(),
                                       is_disk ? "past the page cache"
                                               : "maybe from the page cache, as the file system allows no "
                                                 "reads past it")) +
         property("measured now",
                  fmt::format("{} of {} in {:.1f} s, by {}", gigabytes(disk["bytes"]), disk["file"].get<std::string>(),
                              disk["seconds"].get<double>(), disk["way"] == "ring" ? "io_uring" : "threads"));
}

}  // namespace

std::string machine_text(const Json& report) {
  return fmt::format("hearth {}\n\n", report["hearth"].get<std::string>()) + cpu_text(report) + memory_text(report) +
         disk_text(report["disk"]) + gpus_text(report) + amd_gpus_text(report) + npus_text(report) +
         npu_comparison_text(report["npu_comparison"]);
}

}  // namespace hearth::app
