#pragma once

#include <atomic>
#include <cstdint>
#include <mutex>
#include <span>
#include <string>
#include <vector>

#include "device/device.h"
#include "device/vulkan/memory/memory.h"
#include "device/vulkan/memory/upload.h"
#include "device/vulkan/memory/weight_layout.h"
#include "device/weight_arrival.h"

namespace hearth::vulkan {

/// Consecutive rows of a matrix in one encoding and one slice, multiplied by one launch: neighbouring parts of one
/// format together, or a piece of a part too large for a slice.
struct WeightRun {
  uint32_t first_row = 0;                   ///< in the whole matrix
  NumberFormat format = NumberFormat::f32;  ///< that the rows have on the device
  WeightLayout layout;
  size_t slice = 0;
  BlockRange written;  ///< of the rows written so far; `layout` has it once the run is settled
};

struct Matrix {
  MatrixSpec spec;
  uint32_t rows = 0;
  uint64_t bytes = 0;
  std::vector<WeightRun> runs;
};

/// A matrix as Weights::declare_matrix makes it on such a device, whose runs have no slices. Errors: unsupported.
Result<Matrix> lay_out_matrix(const GpuProperties& gpu, const MatrixSpec& spec);

/// All weights of a device, and its pool of staging buffers, which others borrow. Memory is allocated when the first
/// rows arrive, so that the arenas are full. declare_matrix and upload_vector from one thread; write_rows from many for
/// disjoint rows, not at the same time.
class Weights {
 public:
  explicit Weights(Gpu& gpu) : gpu_(gpu), pool_(gpu), uploader_(gpu, pool_) {}

  Result<MatrixId> declare_matrix(const MatrixSpec& spec);
  Result<void> write_rows(MatrixId matrix, uint32_t part, uint32_t first_row, std::span<const std::byte> rows_bytes);
  Result<VectorId> upload_vector(const std::string& name, std::span<const float> values);

  /// Allocates all that is declared and uploads the vectors; where rows do not go on being written (`arriving`), makes
  /// all that were visible to programs, and settles every matrix.
  Result<void> finish(bool arriving = false);

  /// Which matrices are whole and visible to programs.
  WeightArrival& arrival() { return arrival_; }

  /// Takes into a matrix's layouts what its rows, all of them written, turned out to hold. Not while another thread
  /// uses programs.
  void settle(MatrixId id);
  void settle_all();

  const Matrix& matrix(MatrixId id) const { return matrices_[id.index]; }
  std::span<const Matrix> matrices() const { return matrices_; }
  const Slice& slice(const WeightRun& run) const { return matrix_arena_.slice(run.slice); }
  const Slice& vector(VectorId id) const { return vector_arena_.slice(id.index); }
  /// The largest of a vector's values, without their signs.
  float largest(VectorId id) const { return largest_[id.index]; }
  BufferPool& pool() const { return pool_; }
  /// Reserved and not allocated. Thread-safe.
  uint64_t uncommitted_bytes() const;
  uint64_t bytes() const { return matrix_arena_.reserved_bytes() + vector_arena_.reserved_bytes(); }

 private:
  /// Allocates what was declared since the last time.
  Result<void> commit();
  Result<void> write_to_run(WeightRun& run, NumberFormat from, uint32_t first_row,
                            std::span<const std::byte> rows_bytes, const std::shared_ptr<void>& kept);

  Gpu& gpu_;
  std::vector<Matrix> matrices_;
  std::vector<std::vector<float>> pending_vectors_;  // not yet on the device
  std::vector<float> largest_;                       // of each vector
  size_t vector_count_ = 0;                          // on the device
  mutable std::mutex commit_mutex_;
  std::mutex written_mutex_;  // guards WeightRun::written
  std::atomic<int64_t> unwritten_rows_ = 0;
  WeightArrival arrival_;
  Arena matrix_arena_, vector_arena_;
  mutable BufferPool pool_;  // thread-safe, and nothing of the weights
  Uploader uploader_;
};

}  // namespace hearth::vulkan
