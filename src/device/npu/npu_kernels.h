#pragma once

#include <cstdint>
#include <filesystem>
#include <span>
#include <vector>

#include "base/result.h"
#include "device/npu/xrt/npu_runtime.h"

namespace hearth {

/// A kernel that computes C [m, n] = A [m, k] x B [k, n], A and B in bf16. A and C lie row after row.
struct NpuKernelSpec {
  NpuKernelFiles files;
  uint32_t m = 0, k = 0, n = 0;
  bool output_is_bf16 = false;   ///< C; otherwise float32
  bool b_is_transposed = false;  ///< B lies as [n, k] ("column-major"); otherwise as [k, n]

  size_t a_bytes() const { return size_t{m} * k * sizeof(uint16_t); }
  size_t b_bytes() const { return size_t{k} * n * sizeof(uint16_t); }
  size_t c_bytes() const { return size_t{m} * n * (output_is_bf16 ? sizeof(uint16_t) : sizeof(float)); }
};

/// "512 x 1024 x 512 bf16 to f32"
std::string name_of(const NpuKernelSpec& kernel);

/// The kernels that `folder`/kernels.json lists; docs/devices.md describes it. Errors: not_found (no such file, or one
/// that it names is not there), corrupt and unsupported, naming the kernel and what is wrong with it.
Result<std::vector<NpuKernelSpec>> read_npu_kernels(const std::filesystem::path& folder);

/// Which of them multiplies with a matrix [rows, cols]: the one that pads it least, of equals the one with the most
/// work for each run. `kernels` is not empty.
size_t best_kernel(std::span<const NpuKernelSpec> kernels, uint32_t rows, uint32_t cols);

/// Where kernels are looked for when nobody says: $XDG_DATA_HOME/hearth/npu or ~/.local/share/hearth/npu; empty where
/// neither is known.
std::filesystem::path usual_npu_kernels();

}  // namespace hearth
