#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "base/result.h"
#include "base/thread_pool.h"
#include "device/cpu/packed_matrix.h"
#include "device/cpu/product_offload.h"
#include "device/npu/npu_kernels.h"
#include "device/npu/xrt/npu_runtime.h"

namespace hearth {

/// A weight matrix [rows, cols] in bf16 as a kernel reads it: blocks of B, those of the same rows one after another,
/// with zeros where the matrix ends.
struct NpuWeights {
  uint32_t rows = 0, cols = 0;
  std::vector<NpuBuffer> blocks;
};

/// Products of any size by one kernel: a step's tokens are cut into pieces of m, the weights into blocks of k by n;
/// what a block gives is added up in float32, in the order of k. For one thread at a time.
class NpuMultiplier {
 public:
  NpuMultiplier(NpuRuntime& runtime, NpuKernelSpec spec, NpuKernel kernel)
      : runtime_(runtime), spec_(std::move(spec)), kernel_(std::move(kernel)) {}

  const NpuKernelSpec& spec() const { return spec_; }

  /// Bytes of shared memory that a matrix takes.
  uint64_t weight_bytes(uint32_t rows, uint32_t cols) const { return blocks(rows, cols) * spec_.b_bytes(); }

  /// Rounds the weights to bf16. Errors: as NpuRuntime's.
  Result<NpuWeights> convert(const cpu::PackedMatrix& matrix, ThreadPool& pool);

  /// in [tokens, cols], rounded to bf16, by the weights; `take` gets m tokens at a time. Errors: as NpuRuntime's.
  Result<void> multiply(const NpuWeights& weights, const float* in, size_t tokens, ThreadPool& pool,
                        const cpu::TakeProducts& take);

  /// Bytes that it keeps for what goes in and comes out.
  uint64_t working_bytes() const;

 private:
  size_t row_blocks(uint32_t rows) const { return (rows + spec_.n - 1) / spec_.n; }
  size_t column_blocks(uint32_t cols) const { return (cols + spec_.k - 1) / spec_.k; }
  size_t blocks(uint32_t rows, uint32_t cols) const { return row_blocks(rows) * column_blocks(cols); }

  Result<void> make_room(uint32_t cols);
  void fill_weights(const cpu::PackedMatrix& matrix, size_t row_block, std::span<const NpuBuffer> to, ThreadPool& pool);
  Result<void> send_activations(const float* in, size_t tokens, uint32_t cols, ThreadPool& pool);
  Result<void> multiply_blocks(const NpuWeights& weights, size_t tokens, size_t stride, ThreadPool& pool);
  void add_up(const NpuBuffer& products, size_t tokens, size_t row_block, bool is_first, size_t stride,
              ThreadPool& pool);

  NpuRuntime& runtime_;
  const NpuKernelSpec spec_;
  const NpuKernel kernel_;
  std::vector<NpuBuffer> activations_;  ///< A, by the block of k
  std::array<NpuBuffer, 2> products_;   ///< C: one is added up while the NPU writes the other
  std::vector<float> sums_;             ///< [m, padded rows of the widest matrix so far]
};

}  // namespace hearth
