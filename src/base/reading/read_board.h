#pragma once

#include <condition_variable>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <stop_token>
#include <vector>

#include "base/reading/read_buffers.h"
#include "base/reading/read_way.h"
#include "base/reading/transfer.h"
#include "base/result.h"

namespace hearth {

/// The oldest read that has not come, while a queue waits for bytes.
struct WaitedRead {
  std::filesystem::path path;
  FileRange range;
  double seconds = 0;  ///< since the last byte of any read came, or since this one began
  pid_t thread = 0;    ///< that reads it
};

/// Bytes that came in each way.
struct ReadCounts {
  uint64_t copied_bytes = 0;    ///< from the page cache, by who wanted them
  uint64_t direct_bytes = 0;    ///< past the page cache
  uint64_t buffered_bytes = 0;  ///< through it
};

/// What a queue (who wants bytes) and its readers (who get them) share. Each reader thread holds a shared_ptr to it, so
/// that buffers and descriptors live until the last outstanding read has come, however long after the queue is gone.
/// Thread-safe.
class ReadBoard {
 public:
  ReadBoard(std::vector<ReadableFile> files, ReadBuffers buffers, bool may_copy);
  ~ReadBoard();
  ReadBoard(const ReadBoard&) = delete;
  ReadBoard& operator=(const ReadBoard&) = delete;

  // For readers.

  /// The next read to carry out, with a buffer; null where there is nothing to do now. What seems to be cached is set
  /// aside for the queue's threads.
  Transfer* take();
  /// The same, but waits; null once the board is closed.
  Transfer* wait_and_take();
  ReadPart next_part(const Transfer& transfer) const;
  /// `result` is what the system call for next_part said: bytes, or a negative error number. False: there is more to
  /// read of it.
  bool finish(Transfer* transfer, int64_t result);
  /// No reader can go on.
  void fail(Error error);
  bool closed() const;
  /// Every reader thread calls these first and last. `on_work` is called when there may be something to take.
  void enter(std::function<void()> on_work = {});
  void leave();

  // For the queue.

  /// Whether some file can be read past the page cache.
  bool any_direct() const;
  uint64_t submit(const FileRange& range);
  /// The next finished transfer, which then is the caller's until give_back; null when none is left. Waits.
  /// Errors: io, corrupt, cancelled, timed_out (no byte for `stall_limit`, 0 being no limit).
  Result<Transfer*> next(const std::stop_token& stop, std::chrono::milliseconds stall_limit);
  void give_back(Transfer* transfer);
  std::optional<WaitedRead> waited() const;
  ReadCounts counts() const;
  /// No read begins from now on. Waits for those that have begun, for `patience` at most.
  void close(std::chrono::milliseconds patience);

 private:
  using Transfers = std::deque<std::unique_ptr<Transfer>>;

  Transfer* take(std::unique_lock<std::mutex>& lock);
  bool can_probe() const { return !pending_.empty() && pending_.front()->unsure; }
  void probe(std::unique_lock<std::mutex>& lock);
  std::unique_ptr<Transfer> remove(Transfers& from, const Transfer* transfer);
  bool can_copy() const { return !cached_.empty() && buffers_.has_free(); }
  Transfer* copy(std::unique_lock<std::mutex>& lock);
  bool note_bytes(Transfer& transfer, uint64_t bytes);
  void note_error(Error error);
  std::optional<WaitedRead> waited_locked() const;
  void tell_readers();

  const bool may_copy_;
  mutable std::mutex mutex_;            // guards what follows
  std::condition_variable_any wanted_;  ///< by the queue: something finished, or an error
  std::condition_variable_any work_;    ///< for readers
  std::function<void()> on_work_;
  std::vector<ReadableFile> files_;  ///< descriptors never change
  ReadBuffers buffers_;
  Transfers pending_, cached_, reading_, finished_, lent_;
  uint64_t submitted_ = 0;
  uint32_t probing_ = 0;  ///< transfers that are in none of these meanwhile
  std::chrono::steady_clock::time_point last_byte_;
  ReadCounts counts_;
  std::optional<Error> error_;
  uint32_t readers_ = 0;
  bool closed_ = false;
};

}  // namespace hearth
