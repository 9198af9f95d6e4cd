#pragma once

#include <chrono>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>

#include "base/result.h"
#include "device/device.h"
#include "device/device_name.h"
#include "device/npu/npu_driver.h"
#include "device/npu/npu_offload.h"

namespace hearth {

struct NpuOptions {
  std::filesystem::path kernels;         ///< a folder (npu_kernels.h); empty is usual_npu_kernels()
  std::filesystem::path xrt_library;     ///< as load_xrt has it
  std::optional<uint64_t> memory_bytes;  ///< for copies of weights; a quarter of what is free where nobody says
  NpuPreference prefer = NpuPreference::speed;

  // For tests.
  std::filesystem::path root = "/";
  std::shared_ptr<NpuDriver> driver = kernel_npu_driver();
  std::chrono::milliseconds driver_patience = std::chrono::seconds(3);  ///< for each question
  std::chrono::milliseconds patience = std::chrono::seconds(10);        ///< for each call of XRT and run of a kernel
  std::optional<NpuMeter> meter;                                        ///< instead of the system's clock and counter
  std::optional<uint32_t> takes_from_tokens;                            ///< NpuUse
};

/// What the name of a device says of an NPU. Errors: invalid_argument (it names another device).
Result<NpuOptions> npu_options_of(const DeviceName& name);

/// The system's clock and, to prefer power, its counter of energy, which belongs to root on most systems. Errors: as
/// PackageEnergy::find.
Result<NpuMeter> npu_meter(const std::filesystem::path& root, NpuPreference preference);

/// Finds the NPU, loads XRT and the kernels, and checks what they compute. Errors: unsupported (no NPU, or one that
/// cannot be used; no XRT, or one that is too old; power that nobody counts), not_found, corrupt (kernels), io and
/// timed_out (what XRT says); each says what to do.
Result<std::unique_ptr<NpuOffload>> open_npu_offload(const NpuOptions& options);

/// The processor as a device with an NPU beside it, which multiplies what of prompts was measured to be better on it
/// (Program::tune); until then, and where it fails, the processor does all. Sums on the NPU have another order and are
/// of bf16, so that logits of a prompt depend on how it is cut into steps. Errors: as open_npu_offload and
/// open_cpu_device.
Result<std::unique_ptr<Device>> open_npu_device(const NpuOptions& options, uint32_t threads);

}  // namespace hearth
