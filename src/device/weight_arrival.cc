#include "device/weight_arrival.h"

#include <algorithm>

#include "device/operation_uses.h"

namespace hearth {

void WeightArrival::add(uint64_t rows, uint64_t bytes) {
  const std::lock_guard lock(mutex_);
  matrices_.push_back({.rows = rows, .missing_rows = rows, .bytes = bytes});
  if (rows > 0) missing_matrices_.fetch_add(1, std::memory_order_relaxed);
}

void WeightArrival::note(MatrixId id, uint64_t rows) {
  const std::lock_guard lock(mutex_);
  Matrix& matrix = matrices_[id.index];
  if (matrix.missing_rows == 0) return;
  matrix.missing_rows -= std::min(matrix.missing_rows, rows);
  if (matrix.missing_rows > 0) return;
  missing_matrices_.fetch_sub(1, std::memory_order_release);
  changed_.notify_all();
}

void WeightArrival::give_up(const Error& why) {
  const std::lock_guard lock(mutex_);
  if (!given_up_) given_up_ = why;
  changed_.notify_all();
}

bool WeightArrival::is_whole(MatrixId matrix) const {
  const std::lock_guard lock(mutex_);
  return matrices_[matrix.index].missing_rows == 0;
}

Result<void> WeightArrival::wait_for(MatrixId id) {
  std::unique_lock lock(mutex_);
  const Matrix& matrix = matrices_[id.index];
  changed_.wait(lock, [&] { return matrix.missing_rows == 0 || given_up_; });
  if (matrix.missing_rows > 0) return std::unexpected(*given_up_);
  return {};
}

uint64_t WeightArrival::missing_bytes() const {
  const std::lock_guard lock(mutex_);
  double sum = 0;
  for (const Matrix& matrix : matrices_) {
    if (matrix.missing_rows == 0) continue;
    sum +=
        static_cast<double>(matrix.bytes) * static_cast<double>(matrix.missing_rows) / static_cast<double>(matrix.rows);
  }
  return static_cast<uint64_t>(sum);
}

AwaitedWeights::AwaitedWeights(const Recording& recording, WeightArrival& arrival) : arrival_(&arrival) {
  for (const Operation& operation : recording.operations) of_operation_.push_back(matrices_of(operation));
}

Result<void> AwaitedWeights::wait_for(size_t index) {
  for (const MatrixId matrix : of_operation_[index]) {
    if (auto came = arrival_->wait_for(matrix); !came) return came;
  }
  return {};
}

size_t AwaitedWeights::ready_until(size_t first, size_t end) const {
  const auto is_whole = [this](MatrixId matrix) { return arrival_->is_whole(matrix); };
  while (first < end && std::ranges::all_of(of_operation_[first], is_whole)) ++first;
  return first;
}

}  // namespace hearth
