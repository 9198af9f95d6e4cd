// The parts of doctor's text about what AMD's drivers tell.
#include <fmt/format.h>

#include "app/machine_values.h"
#include "app/print_machine.h"

namespace hearth::app {
namespace {

using Json = nlohmann::ordered_json;

std::string known(const Json& value) { return value.is_null() ? "unknown" : value_text("", value); }

std::string amd_gpu_text(const Json& gpu) {
  const bool is_integrated = !gpu["chip"].is_null();
  std::string text =
      fmt::format("\nAMD's driver for {}{} at {}\n", gpu["card"].get<std::string>(),
                  is_integrated ? fmt::format(" ({})", gpu["chip"].get<std::string>()) : "", known(gpu["pci_address"]));
  text += property(is_integrated ? "carve-out (VRAM)" : "VRAM",
                   fmt::format("{}, {} used", gigabytes(gpu["vram_bytes"]), gigabytes(gpu["vram_used_bytes"])));
  text += property("system memory (GTT)", fmt::format("{} at most, {} used; ttm.pages_limit {}, amdgpu.gttsize {}",
                                                      gigabytes(gpu["gtt_bytes"]), gigabytes(gpu["gtt_used_bytes"]),
                                                      known(gpu["ttm_pages_limit"]), known(gpu["gttsize_parameter"])));
  text += property("power", fmt::format("performance level {}, platform profile {}", known(gpu["performance_level"]),
                                        known(gpu["platform_profile"])));
  const Json& firmware = gpu["scheduler_firmware"];
  text += property("scheduler's firmware",
                   firmware.is_null() ? "unknown" : fmt::format("MES {:#x}", firmware.get<uint64_t>()));
  for (const Json& advice : gpu["advice"]) {
    text += property("advice", advice["finding"].get<std::string>());
    text += property("", advice["command"].get<std::string>());
  }
  return text;
}

std::string array_text(const Json& array) {
  if (array.is_null()) return "unknown";
  return fmt::format("{} columns of {} rows: {} that compute, {} of memory, {} to the outside (version {})",
                     array["columns"].dump(), array["rows"].dump(), array["core_rows"].dump(),
                     array["memory_rows"].dump(), array["shim_rows"].dump(), array["version"].get<std::string>());
}

std::string clocks_text(const Json& clocks) {
  std::string text;
  for (const Json& clock : clocks) {
    text += fmt::format("{}{} {} MHz", text.empty() ? "" : ", ", clock["name"].get<std::string>(), clock["mhz"].dump());
  }
  return text.empty() ? "unknown" : text;
}

std::string resources_text(const Json& resources) {
  return fmt::format("{} TOPS at {} MHz by the driver's table; {} of {} programs use it", resources["tops_max"].dump(),
                     resources["clock_max_mhz"].dump(), resources["contexts_now"].dump(),
                     resources["contexts_max"].dump());
}

std::string npu_text(const Json& npu) {
  const bool is_usable = npu["obstacle"].is_null();
  std::string text =
      fmt::format("\nNPU: {} ({}) at {}{}\n", npu["model"].get<std::string>(), npu["generation"].get<std::string>(),
                  npu["pci_address"].get<std::string>(), is_usable ? "" : ", cannot be used");
  if (!is_usable) {
    text += property("because", npu["obstacle"].get<std::string>());
    text += property("what helps", npu["remedy"].get<std::string>());
  }
  text += property("PCI id", fmt::format("{}, revision {}", known(npu["device_id"]), known(npu["revision"])));
  if (!npu["name"].is_null()) text += property("the driver calls it", npu["name"].get<std::string>());
  if (!npu["driver"].is_null()) text += property("driver", npu["driver"].get<std::string>());
  if (!npu["firmware"].is_null()) text += property("firmware", npu["firmware"].get<std::string>());
  // Who could not be asked has nothing to say.
  const bool was_asked = !npu["array"].is_null() || !npu["clocks"].empty() || is_usable;
  if (was_asked) {
    text += property("tiles", array_text(npu["array"]));
    text += property("clocks", clocks_text(npu["clocks"]));
    text += property("power mode", known(npu["power_mode"]));
  }
  if (!npu["resources"].is_null()) text += property("at most", resources_text(npu["resources"]));
  return text +
         property("hearth", "multiplies prompts on it with --device npu, tried with a made XRT only, on no real NPU");
}

std::string product_text(const Json& product) {
  const auto compared = [&](const char* of_processor, const char* of_npu, double scale, const char* unit) {
    return fmt::format("{:.2f} {} by the processor, {:.2f} {} by the NPU", scale * product[of_processor].get<double>(),
                       unit, scale * product[of_npu].get<double>(), unit);
  };
  std::string text = compared("processor_seconds", "npu_seconds", 1e3, "ms");
  if (!product["processor_joules"].is_null()) text += "; " + compared("processor_joules", "npu_joules", 1e3, "mJ");
  return text;
}

}  // namespace

std::string amd_gpus_text(const Json& report) {
  std::string text;
  for (const Json& gpu : report["amd_gpus"]) text += amd_gpu_text(gpu);
  if (!report["amd_gpu_error"].is_null()) {
    text += fmt::format("\nAMD's driver for GPUs: {}\n", report["amd_gpu_error"].get<std::string>());
  }
  return text;
}

std::string npus_text(const Json& report) {
  if (!report["npu_error"].is_null()) return fmt::format("\nNPU: {}\n", report["npu_error"].get<std::string>());
  if (report["npus"].empty()) return "\nNPU: none of AMD's; one may be switched off in the firmware's setup\n";
  std::string text;
  for (const Json& npu : report["npus"]) text += npu_text(npu);
  return text;
}

std::string npu_comparison_text(const Json& comparison) {
  if (comparison.is_null()) return "";
  std::string text = "\nNPU and processor side by side, measured now\n";
  if (!comparison["error"].is_null()) return text + property("not compared", comparison["error"].get<std::string>());
  text += property("kernels", value_text("", comparison["kernels"]));
  text += property("product", comparison["products"][0]["product"].get<std::string>());
  for (const Json& product : comparison["products"]) {
    text += property(fmt::format("{} tokens", product["tokens"].dump()), product_text(product));
  }
  if (!comparison["no_energy"].is_null()) text += property("energy", comparison["no_energy"].get<std::string>());
  return text;
}

}  // namespace hearth::app
