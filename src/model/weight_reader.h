#pragma once

#include <chrono>
#include <memory>
#include <span>
#include <stop_token>

#include "base/progress.h"
#include "base/reading/read_queue.h"
#include "base/result.h"
#include "device/device.h"
#include "formats/checkpoint.h"
#include "model/weight_plan.h"

namespace hearth {

/// How files are read.
struct ReadOptions {
  std::chrono::milliseconds stall_limit{};  ///< without a byte, after which reading fails; 0 is no limit
  bool keep_cached = false;                 ///< leaves them in the page cache
};

/// A queue for the checkpoint's files, whose numbers are the queue's. HEARTH_LOAD_READS=ring, threads, buffered or
/// cached, for tests, is how it reads. Errors: as ReadQueue::open; invalid_argument (of the variable).
Result<std::unique_ptr<ReadQueue>> open_read_queue(const Checkpoint& checkpoint, const ReadOptions& options);

/// Reads whole tensors, all at once. Errors: as ReadQueue::next.
Result<TensorBytes> read_tensors(ReadQueue& queue, std::span<const TensorInfo> tensors, const std::stop_token& stop);

/// Reads all rows of `sources`, layer by layer with many reads at once (base/reading), while a thread for each usable
/// core writes what has come to the device. Reports stage "read" with bytes and the first layer that is not whole, of
/// `layers`. Errors: as ReadQueue::next; corrupt, too, for a non-finite scale and a file that was changed since it was
/// opened; and the device's.
Result<void> read_weights(const Checkpoint& checkpoint, ReadQueue& queue, std::span<const WeightPlan::Source> sources,
                          Device& device, int layers, ProgressSink& progress, const std::stop_token& stop);

}  // namespace hearth
