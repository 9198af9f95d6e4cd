#pragma once

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <mutex>
#include <optional>
#include <span>
#include <vector>

#include "base/result.h"
#include "device/operation.h"

namespace hearth {

/// Which matrices of a device are whole, while threads write rows and steps wait for them. Thread-safe, but that `add`
/// is called before all else.
class WeightArrival {
 public:
  /// The next matrix, in the order of their numbers.
  void add(uint64_t rows, uint64_t bytes);

  /// Rows were written, and are visible to programs. Those that were written before count again.
  void note(MatrixId matrix, uint64_t rows);

  /// See Device::give_up_weights.
  void give_up(const Error& why);

  bool is_whole(MatrixId matrix) const;
  bool all_whole() const { return missing_matrices_.load(std::memory_order_acquire) == 0; }

  /// Errors: the one given to give_up, before or meanwhile.
  Result<void> wait_for(MatrixId matrix);

  /// Of the rows that are missing, in proportion.
  uint64_t missing_bytes() const;

 private:
  struct Matrix {
    uint64_t rows = 0, missing_rows = 0, bytes = 0;
  };

  std::atomic<size_t> missing_matrices_ = 0;
  mutable std::mutex mutex_;  // guards what follows
  std::condition_variable changed_;
  std::vector<Matrix> matrices_;
  std::optional<Error> given_up_;
};

/// What a program's operations wait for.
class AwaitedWeights {
 public:
  AwaitedWeights() = default;  ///< nothing
  AwaitedWeights(const Recording& recording, WeightArrival& arrival);

  /// Whether an operation may have to be waited for. False once means false for ever.
  bool any() const { return arrival_ != nullptr && !arrival_->all_whole(); }

  /// Waits for what operation `index` of the recording multiplies with or looks up. Errors: as WeightArrival::wait_for.
  Result<void> wait_for(size_t index);

  /// The first operation in [first, end) that would have to wait, or `end`.
  size_t ready_until(size_t first, size_t end) const;

 private:
  WeightArrival* arrival_ = nullptr;
  std::vector<std::vector<MatrixId>> of_operation_;
};

}  // namespace hearth
