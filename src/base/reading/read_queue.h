#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <stop_token>
#include <vector>

#include "base/file.h"
#include "base/reading/read_board.h"
#include "base/reading/read_threads.h"
#include "base/reading/read_way.h"
#include "base/result.h"

namespace hearth {

/// Bytes of a submitted range, in a buffer that goes back to the queue when this ends. May outlive the queue.
class FinishedRead {
 public:
  FinishedRead(std::shared_ptr<ReadBoard> board, Transfer* transfer) : board_(std::move(board)), transfer_(transfer) {}
  FinishedRead(FinishedRead&&) = default;
  FinishedRead& operator=(FinishedRead&&) = delete;
  ~FinishedRead() {
    if (board_) board_->give_back(transfer_);
  }

  /// As submit returned it.
  uint64_t number() const { return transfer_->number; }
  std::span<const std::byte> bytes() const {
    return {transfer_->buffer + (transfer_->range.offset - transfer_->begin), transfer_->range.bytes};
  }

 private:
  std::shared_ptr<ReadBoard> board_;  // null after a move
  Transfer* transfer_;
};

/// Reads of ranges of large files, many at once. What is in the page cache is copied from there by the thread that asks
/// for it, the rest is read past it into aligned buffers, by io_uring or threads, whichever works here. Thread-safe.
///
/// Nothing here waits for a disk without end: `next` returns when it is stopped, and the destructor after a moment.
/// Reads that are outstanding then keep their buffers and descriptors until they come.
class ReadQueue {
 public:
  struct Options {
    uint64_t most_bytes = 4U << 20;  ///< of one range
    uint32_t buffers = 16;           ///< of so many bytes: reads at once, and those that are being used
    std::chrono::milliseconds stall_limit = std::chrono::seconds(60);  ///< without a byte; 0 is no limit
    ReadWay way = ReadWay::automatic;
    PositionedRead read = {};  ///< for tests: what threads use instead of pread
  };

  /// The files' descriptors are duplicated: the files need not outlive the queue. Errors: out_of_memory, io (no
  /// descriptors left), unsupported (a way that this system forbids).
  static Result<std::unique_ptr<ReadQueue>> open(std::span<const File* const> files, Options options);
  ~ReadQueue();
  ReadQueue(const ReadQueue&) = delete;
  ReadQueue& operator=(const ReadQueue&) = delete;

  /// How reads are done that are not copied.
  ReadWay way() const { return way_; }

  /// Reads begin in the order in which they are submitted, as buffers become free; any number may wait. Returns the
  /// read's number, counted from 0. `range` has at most options.most_bytes.
  uint64_t submit(const FileRange& range) { return board_->submit(range); }

  /// Waits for one of the reads, in whatever order they come; nothing when all have been handed out. From the first
  /// error on every call returns it: io, corrupt (the file ends before), timed_out (no byte for the stall limit),
  /// cancelled; all but the last name file and offset.
  Result<std::optional<FinishedRead>> next(const std::stop_token& stop);

  /// What it waits for, while it does.
  std::optional<WaitedRead> waited() const { return board_->waited(); }
  ReadCounts counts() const { return board_->counts(); }

 private:
  ReadQueue(std::shared_ptr<ReadBoard> board, const Options& options) : board_(std::move(board)), options_(options) {}
  Result<void> start();

  std::shared_ptr<ReadBoard> board_;
  Options options_;
  ReadWay way_ = ReadWay::automatic;
};

}  // namespace hearth
