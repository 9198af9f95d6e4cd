#include "app/open_model.h"

#include <fmt/format.h>
#include <spdlog/spdlog.h>

#include <algorithm>
#include <chrono>

#include "app/terminal_progress.h"
#include "base/reading/watched_call.h"
#include "device/absent/absent_machine.h"
#include "device/open_device.h"

namespace hearth::app {

namespace {

/// "3 on a processor, 21 on a GPU"
std::string shares_text(std::span<const std::unique_ptr<Device>> devices, const LayerPlan& plan) {
  std::string text;
  for (size_t d = 0; d < devices.size(); ++d) {
    text += fmt::format("{}{} on {}", d == 0 ? "" : ", ", plan[d], devices[d]->info().name);
  }
  return text;
}

uint32_t layers_on_gpus(std::span<const std::unique_ptr<Device>> devices, const LayerPlan& plan) {
  uint32_t layers = 0;
  for (size_t d = 0; d < devices.size(); ++d) layers += devices[d]->info().is_gpu ? plan[d] : 0;
  return layers;
}

Result<std::vector<std::unique_ptr<Device>>> open_on(const DeviceOptions& options, std::string_view names) {
  if (!options.machine.is_null()) return open_absent_devices(options.machine, names);
  return open_devices(names, options.threads, options.batch_invariant, options.prefer);
}

}  // namespace

void add_cut_options(CLI::App& command, LayerCut& cut) {
  CLI::Option* const first =
      command.add_option("--max-layers", cut.max_layers, "load only the first layers, to check a set-up in seconds");
  command.add_flag("--shared-only", cut.shared_only, "load no layer, only what all share: the quickest check")
      ->excludes(first);
}

void add_device_options(CLI::App& command, DeviceOptions& options) {
  command
      .add_option("--device", options.device,
                  "auto, cpu, vulkan, vulkan:N, vulkan:NAME, npu, npu:FOLDER (of its kernels) or reference, or several "
                  "joined by +, over which layers go in this order; `hearth doctor` lists GPUs and NPUs")
      ->capture_default_str();
  command
      .add_option_function<std::string>(
          "--prefer",
          [&options](const std::string& by) {
            options.prefer = by == "power" ? NpuPreference::power : NpuPreference::speed;
          },
          "speed (which it is without this) or power: by what an NPU is compared with the processor before it takes "
          "products of prompts")
      ->check(CLI::IsMember({"speed", "power"}));
  command.add_option("--gpu-layers", options.gpu_layers,
                     "layers that GPUs take, the processor the ones before; without it as many as fit");
  command.add_option("--threads", options.threads, "threads of the CPU; 0 is one for each core")->capture_default_str();
  command.add_flag("--batch-invariant", options.batch_invariant,
                   "the same logits, bit for bit, whatever else runs beside a request and however its prompt is cut; "
                   "slower on GPUs");
  command
      .add_option("--load-timeout", options.load_timeout_s,
                  "seconds without a byte of the model's files after which loading fails; 0 waits for ever")
      ->capture_default_str();
}

Result<std::unique_ptr<Device>> open_device_for(const Checkpoint& checkpoint, DeviceOptions& options,
                                                PlaceOptions place) {
  place.gpu_layers = options.gpu_layers;
  std::string names = options.device;
  // Who says how many layers go to a GPU has chosen already.
  if (names == "auto" && options.gpu_layers) names = *options.gpu_layers > 0 ? "vulkan" : "cpu";
  auto devices = open_on(options, names);
  if (!devices) return pass_on(devices);
  auto plan = plan_layers_of(checkpoint, *devices, place);
  const bool only_gpus = std::ranges::all_of(*devices, [](const auto& device) { return device->info().is_gpu; });
  if (!plan && only_gpus && options.may_spill) {
    auto processor = open_on(options, "cpu");
    if (!processor) return pass_on(processor);
    devices->insert(devices->begin(), std::move(processor->front()));
    plan = plan_layers_of(checkpoint, *devices, place);
  }
  if (!plan) return pass_on(plan);
  if (devices->size() > 1) spdlog::info("layers: {}", shares_text(*devices, *plan));
  if (!options.gpu_layers) options.gpu_layers = layers_on_gpus(*devices, *plan);
  return join_devices(std::move(*devices), *plan);
}

Result<OpenModel> open_model(const Checkpoint& checkpoint, const DeviceOptions& options, LoadOptions load,
                             PlaceOptions place, ProgressSink& progress) {
  OpenModel opened;
  DeviceOptions chosen = options;
  place.cut = load.cut;
  load.context_tokens = place.context_tokens;
  load.reading.stall_limit = std::chrono::seconds(options.load_timeout_s);
  auto device = open_device_for(checkpoint, chosen, place);
  if (!device) return pass_on(device);
  opened.device = std::move(*device);
  auto model = Model::load(checkpoint, *opened.device, load, progress, {});
  if (!model) return pass_on(model);
  opened.model = std::move(*model);
  return opened;
}

Result<OpenModel> open_model(const std::filesystem::path& path, const DeviceOptions& options, LoadOptions load,
                             PlaceOptions place) {
  auto checkpoint =
      watched_call([path] { return open_checkpoint(path); }, std::chrono::seconds(options.load_timeout_s), {});
  if (!checkpoint) return pass_on(checkpoint);
  TerminalProgress progress;
  return open_model(**checkpoint, options, load, place, progress);
}

}  // namespace hearth::app
