#include "app/describe_amd.h"

#include <optional>
#include <string>

#include "device/amdgpu/amdgpu_advice.h"

namespace hearth::app {
namespace {

using Json = nlohmann::ordered_json;

template <class T>
Json or_null(const std::optional<T>& value) {
  return value ? Json(*value) : Json(nullptr);
}
Json or_null(const std::string& text) { return text.empty() ? Json(nullptr) : Json(text); }

Json describe_array(const std::optional<NpuArray>& array) {
  if (!array) return nullptr;
  return {{"columns", array->columns},         {"rows", array->rows},           {"core_rows", array->core_rows},
          {"memory_rows", array->memory_rows}, {"shim_rows", array->shim_rows}, {"version", array->version}};
}

Json describe_resources(const std::optional<NpuResources>& resources) {
  if (!resources) return nullptr;
  return {{"clock_max_mhz", resources->clock_max_megahertz},
          {"tops_max", resources->tops_max},
          {"contexts_max", resources->contexts_max},
          {"contexts_now", resources->contexts_now}};
}

Json describe_npu(const Npu& npu) {
  const NpuSigns& signs = npu.signs;
  const NpuAnswers& answers = npu.answers;
  Json clocks = Json::array();
  for (const NpuClock& clock : answers.clocks) clocks.push_back({{"name", clock.name}, {"mhz", clock.megahertz}});
  return {{"pci_address", signs.pci_address},
          {"device_id", or_null(signs.device_id)},
          {"revision", or_null(signs.revision)},
          {"model", signs.model.name},
          {"generation", signs.model.generation},
          {"name", or_null(signs.vbnv)},
          {"state", name_of(npu.state)},
          {"obstacle", or_null(npu.obstacle)},
          {"remedy", or_null(npu.remedy)},
          {"node", or_null(signs.node.string())},
          {"driver", answers.driver ? Json(*answers.driver) : or_null(signs.bound_driver)},
          {"firmware", answers.firmware ? Json(*answers.firmware) : or_null(signs.firmware)},
          {"array", describe_array(answers.array)},
          {"clocks", clocks},
          {"power_mode", or_null(answers.power_mode)},
          {"resources", describe_resources(answers.resources)}};
}

}  // namespace

Json describe_amd_gpus(const AmdSystem& system) {
  Json all = Json::array();
  for (const AmdGpu& gpu : system.gpus) {
    Json advice = Json::array();
    for (const Advice& one : advise(system, gpu)) {
      advice.push_back({{"finding", one.finding}, {"command", one.command}});
    }
    all.push_back({{"card", gpu.card},
                   {"pci_address", or_null(gpu.pci_address)},
                   {"device_id", or_null(gpu.device_id)},
                   {"chip", or_null(gpu.chip)},
                   {"vram_bytes", or_null(gpu.vram_bytes)},
                   {"vram_used_bytes", or_null(gpu.vram_used_bytes)},
                   {"gtt_bytes", or_null(gpu.gtt_bytes)},
                   {"gtt_used_bytes", or_null(gpu.gtt_used_bytes)},
                   {"ttm_pages_limit", or_null(system.ttm_pages_limit)},
                   {"gttsize_parameter", or_null(system.gtt_size_parameter)},
                   {"performance_level", or_null(gpu.performance_level)},
                   {"platform_profile", or_null(system.platform_profile)},
                   {"scheduler_firmware", or_null(gpu.scheduler_firmware)},
                   {"advice", advice}});
  }
  return all;
}

Json describe_npu_report(const Result<NpuReport>& report) {
  if (!report) return {{"error", to_string(report.error())}};
  Json products = Json::array();
  for (const NpuComparison& each : report->comparisons) {
    const bool has_energy = each.processor_joules && each.npu_joules;
    products.push_back({{"product", each.product},
                        {"tokens", each.tokens},
                        {"processor_seconds", each.processor_seconds},
                        {"npu_seconds", each.npu_seconds},
                        {"processor_joules", has_energy ? Json(*each.processor_joules) : Json(nullptr)},
                        {"npu_joules", has_energy ? Json(*each.npu_joules) : Json(nullptr)},
                        {"npu_is_faster", npu_is_better(each, NpuPreference::speed)},
                        {"npu_is_cheaper", npu_is_better(each, NpuPreference::power)}});
  }
  return {{"error", nullptr},
          {"kernels", report->kernels},
          {"products", products},
          {"no_energy", report->no_energy ? Json(*report->no_energy) : Json(nullptr)}};
}

Json describe_npus(const std::vector<Npu>& npus) {
  Json all = Json::array();
  for (const Npu& npu : npus) all.push_back(describe_npu(npu));
  return all;
}

}  // namespace hearth::app
