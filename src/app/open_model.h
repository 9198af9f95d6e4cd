#pragma once

#include <CLI/CLI.hpp>
#include <filesystem>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>

#include "base/progress.h"
#include "base/result.h"
#include "device/device.h"
#include "device/npu/npu_choice.h"
#include "formats/checkpoint.h"
#include "model/model.h"
#include "model/place_layers.h"

namespace hearth::app {

/// Where a command's model runs, and how long it may take nothing in.
struct DeviceOptions {
  std::string device = "auto";
  uint32_t threads = 0;  ///< 0 is one for each usable core
  std::optional<uint32_t> gpu_layers;
  bool may_spill = true;         ///< onto the processor, what GPUs do not hold; else that is out_of_memory
  bool batch_invariant = false;  ///< open_device.h
  NpuPreference prefer = NpuPreference::speed;
  uint32_t load_timeout_s = 60;  ///< ReadOptions::stall_limit
  /// A machine that need not be here, whose devices are opened for a plan (device/absent); null is this one.
  nlohmann::json machine = nullptr;
};

/// Adds --max-layers and --shared-only.
void add_cut_options(CLI::App& command, LayerCut& cut);

/// Adds --device, --prefer, --gpu-layers, --threads, --batch-invariant and --load-timeout.
void add_device_options(CLI::App& command, DeviceOptions& options);

/// Opens the devices that the options name and makes one of those that take layers of the checkpoint's decoder: the
/// processor takes the first ones where the GPUs' memory does not hold all, and a line of the log says so. `place`
/// tells what must fit beside the weights. Where `options.gpu_layers` was left open it becomes what was chosen, so that
/// the same devices can be opened again while the memory of lost ones is not free yet. Errors: as open_device and
/// plan_layers_of.
Result<std::unique_ptr<Device>> open_device_for(const Checkpoint& checkpoint, DeviceOptions& options,
                                                PlaceOptions place);

/// A model on the device that it needs.
struct OpenModel {
  std::unique_ptr<Device> device;
  std::unique_ptr<Model> model;
};

/// Opens the devices that hold the checkpoint's model and what `place` says (its cut is `load`'s), and loads
/// the model; the checkpoint is not needed afterwards.
Result<OpenModel> open_model(const Checkpoint& checkpoint, const DeviceOptions& options, LoadOptions load,
                             PlaceOptions place, ProgressSink& progress);

/// The same from a path, with loading shown on the terminal.
Result<OpenModel> open_model(const std::filesystem::path& path, const DeviceOptions& options, LoadOptions load,
                             PlaceOptions place);

}  // namespace hearth::app
