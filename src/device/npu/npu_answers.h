#pragma once

#include <chrono>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/result.h"
#include "device/npu/npu_driver.h"

namespace hearth {

/// The array of tiles: `rows` are `core_rows` that compute, `memory_rows` and `shim_rows` that reach the memory.
struct NpuArray {
  uint32_t columns = 0, rows = 0;
  uint32_t core_rows = 0, memory_rows = 0, shim_rows = 0;
  std::string version;  ///< "2.0"
};

struct NpuClock {
  std::string name;  ///< as the driver calls it: "MP-NPU Clock"
  uint32_t megahertz = 0;
};

struct NpuResources {
  uint64_t clock_max_megahertz = 0;
  uint64_t tops_max = 0;                        ///< by the driver's own table
  uint64_t contexts_max = 0, contexts_now = 0;  ///< programs that may use it at once, and do
};

/// What the driver says of an NPU. What it does not know or answers without sense is absent.
struct NpuAnswers {
  int open_error = 0;                 ///< errno; then nothing else was asked
  int first_error = 0;                ///< errno of the first question that failed though every driver knows it; else 0
  std::optional<Error> hangs;         ///< a call that did not come back; nothing was asked after it
  std::optional<std::string> driver;  ///< "amdxdna_accel_driver 0.1.0"
  std::optional<std::string> firmware;  ///< "1.5.2.380"
  std::optional<NpuArray> array;
  std::vector<NpuClock> clocks;
  std::optional<std::string> power_mode;  ///< "default", "low", "medium", "high", "turbo"
  std::optional<NpuResources> resources;
};

/// Opens the node and asks the driver, call by call, each on a thread of its own that is waited for no longer than
/// `limit`. A thread that hangs is left behind with what it uses, the descriptor among it.
NpuAnswers ask_npu(std::shared_ptr<NpuDriver> driver, const std::filesystem::path& node,
                   std::chrono::milliseconds limit);

}  // namespace hearth
