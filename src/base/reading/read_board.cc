#include "base/reading/read_board.h"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <system_error>

#include "base/printable.h"
#include "base/reading/page_cache.h"
#include "base/reading/thread_state.h"

namespace hearth {
namespace {

using Clock = std::chrono::steady_clock;

/// How often a waiting thread looks at the clock.
constexpr std::chrono::milliseconds kTick(100);

/// Cached ranges that may be set aside at a time: what is cached now may not be soon.
constexpr size_t kMostSetAside = 8;

constexpr uint64_t aligned_down(uint64_t value) { return value / ReadBuffers::kAlignment * ReadBuffers::kAlignment; }

std::string shown(const std::filesystem::path& path) { return printable(path.native(), 1024); }

Error stalled(const WaitedRead& read) {
  const std::string view = kernel_view(read.thread);
  return {ErrorCode::timed_out,
          fmt::format("{}: no byte came for {:.1f} s while {} bytes at offset {} were read{}", shown(read.path),
                      read.seconds, read.range.bytes, read.range.offset,
                      view.empty() ? "" : fmt::format("; the thread that reads them is {}", view)),
          "the disk or the network behind the file does not answer (dmesg may say more)"};
}

}  // namespace

ReadBoard::ReadBoard(std::vector<ReadableFile> files, ReadBuffers buffers, bool may_copy)
    : may_copy_(may_copy), files_(std::move(files)), buffers_(std::move(buffers)), last_byte_(Clock::now()) {}

ReadBoard::~ReadBoard() {
  for (const ReadableFile& file : files_) {
    if (file.buffered >= 0) ::close(file.buffered);
    if (file.direct >= 0) ::close(file.direct);
  }
}

uint64_t ReadBoard::submit(const FileRange& range) {
  const std::scoped_lock lock(mutex_);
  auto transfer = std::make_unique<Transfer>();
  transfer->number = submitted_++;
  transfer->range = range;
  transfer->unsure = may_copy_;
  pending_.push_back(std::move(transfer));
  tell_readers();
  return submitted_ - 1;
}

bool ReadBoard::any_direct() const {
  const std::scoped_lock lock(mutex_);
  return std::ranges::any_of(files_, [](const ReadableFile& file) { return file.direct >= 0; });
}

void ReadBoard::tell_readers() {
  work_.notify_one();
  if (on_work_) on_work_();
}

void ReadBoard::enter(std::function<void()> on_work) {
  const std::scoped_lock lock(mutex_);
  ++readers_;
  if (on_work) on_work_ = std::move(on_work);
}

void ReadBoard::leave() {
  const std::scoped_lock lock(mutex_);
  --readers_;
  on_work_ = {};
  wanted_.notify_all();
}

void ReadBoard::fail(Error error) {
  const std::scoped_lock lock(mutex_);
  note_error(std::move(error));
}

bool ReadBoard::closed() const {
  const std::scoped_lock lock(mutex_);
  return closed_;
}

/// Looks, without the lock, whether the first pending range is cached, and sets it aside if it is.
void ReadBoard::probe(std::unique_lock<std::mutex>& lock) {
  auto transfer = std::move(pending_.front());
  pending_.pop_front();
  transfer->unsure = false;
  const ReadableFile& file = files_[transfer->range.file];
  const bool copyable = file.copyable;
  ++probing_;
  lock.unlock();
  const bool cached = copyable && seems_cached(file.buffered, transfer->range.offset, transfer->range.bytes);
  lock.lock();
  --probing_;
  if (closed_ || error_) return;
  if (cached) {
    cached_.push_back(std::move(transfer));
    wanted_.notify_one();
  } else {
    pending_.push_front(std::move(transfer));
    tell_readers();
  }
}

Transfer* ReadBoard::take(std::unique_lock<std::mutex>& lock) {
  while (can_probe() && cached_.size() < kMostSetAside) probe(lock);
  if (closed_ || pending_.empty() || pending_.front()->unsure || !buffers_.has_free()) return nullptr;
  reading_.push_back(std::move(pending_.front()));
  pending_.pop_front();
  Transfer* next = reading_.back().get();
  next->buffer = buffers_.take();
  next->direct = files_[next->range.file].direct >= 0;
  next->begin = next->direct ? aligned_down(next->range.offset) : next->range.offset;
  next->started = Clock::now();
  next->thread = ::gettid();
  return next;
}

Transfer* ReadBoard::take() {
  std::unique_lock lock(mutex_);
  return take(lock);
}

Transfer* ReadBoard::wait_and_take() {
  std::unique_lock lock(mutex_);
  while (!closed_) {
    if (Transfer* taken = take(lock)) return taken;
    if (!closed_) work_.wait(lock);
  }
  return nullptr;
}

ReadPart ReadBoard::next_part(const Transfer& transfer) const {
  const std::scoped_lock lock(mutex_);
  const ReadableFile& file = files_[transfer.range.file];
  const uint64_t left = transfer.needed() - transfer.got;
  const uint64_t bytes = transfer.direct ? aligned_down(left + ReadBuffers::kAlignment - 1) : left;
  return {.descriptor = transfer.direct ? file.direct : file.buffered,
          .into = transfer.buffer + transfer.got,
          .bytes = bytes,
          .offset = transfer.begin + transfer.got};
}

bool ReadBoard::finish(Transfer* transfer, int64_t result) {
  const std::scoped_lock lock(mutex_);
  ReadableFile& file = files_[transfer->range.file];
  if (result == -EINTR || result == -EAGAIN) return closed_;
  if (transfer->direct && (result == -EINVAL || result == -EOPNOTSUPP)) {
    // The filesystem opened the file for direct reads and refuses them all the same, or has larger blocks.
    transfer->direct = false;
    transfer->begin = transfer->range.offset;
    transfer->got = 0;
    return closed_;
  }
  if (result < 0) {
    note_error({ErrorCode::io,
                fmt::format("{}: cannot read {} bytes at offset {}: {}", shown(file.path), transfer->range.bytes,
                            transfer->range.offset, std::generic_category().message(static_cast<int>(-result)))});
  } else if (!note_bytes(*transfer, static_cast<uint64_t>(result))) {
    return closed_;
  }
  auto finished = remove(reading_, transfer);
  if (error_) {
    buffers_.give_back(finished->buffer);
  } else {
    finished_.push_back(std::move(finished));
  }
  wanted_.notify_one();
  return true;
}

/// True when the transfer is whole, or never will be.
bool ReadBoard::note_bytes(Transfer& transfer, uint64_t bytes) {
  const ReadableFile& file = files_[transfer.range.file];
  if (bytes > 0) last_byte_ = Clock::now();
  const uint64_t reached = std::min(transfer.got + bytes, transfer.needed());
  if (reached == transfer.needed()) {
    (transfer.direct ? counts_.direct_bytes : counts_.buffered_bytes) += transfer.range.bytes;
    return true;
  }
  // A direct read goes on at a whole block. One that ends inside a block has reached the file's end.
  const uint64_t goes_on = transfer.direct ? aligned_down(reached) : reached;
  if (bytes > 0 && goes_on > transfer.got) {
    transfer.got = goes_on;
    return false;
  }
  note_error({ErrorCode::corrupt,
              fmt::format("{}: {} bytes are needed at offset {}, but the file ends at {} (it had {} "
                          "when it was opened)",
                          shown(file.path), transfer.range.bytes, transfer.range.offset, transfer.begin + reached,
                          file.size_bytes),
              "download it again"});
  return true;
}

void ReadBoard::note_error(Error error) {
  if (!error_) error_ = std::move(error);
  pending_.clear();
  cached_.clear();
  wanted_.notify_all();
}

std::unique_ptr<Transfer> ReadBoard::remove(Transfers& from, const Transfer* transfer) {
  const auto at = std::ranges::find(from, transfer, &std::unique_ptr<Transfer>::get);
  auto removed = std::move(*at);
  from.erase(at);
  return removed;
}

Result<Transfer*> ReadBoard::next(const std::stop_token& stop, std::chrono::milliseconds stall_limit) {
  std::unique_lock lock(mutex_);
  for (;;) {
    if (stop.stop_requested()) return hearth::fail(ErrorCode::cancelled, "reading was cancelled");
    if (error_) return std::unexpected(*error_);
    if (!finished_.empty()) {
      lent_.push_back(std::move(finished_.front()));
      finished_.pop_front();
      return lent_.back().get();
    }
    if (can_copy()) {
      if (Transfer* copied = copy(lock)) return copied;
      continue;
    }
    if (can_probe() && buffers_.has_free()) {
      probe(lock);
      continue;
    }
    if (pending_.empty() && cached_.empty() && reading_.empty() && probing_ == 0) return nullptr;
    const auto waited = waited_locked();
    if (waited && stall_limit.count() > 0 && waited->seconds * 1000 > double(stall_limit.count())) {
      note_error(stalled(*waited));
      continue;
    }
    wanted_.wait_for(lock, stop, kTick, [&] {
      return error_ || !finished_.empty() || can_copy() || (can_probe() && buffers_.has_free());
    });
  }
}

/// The first cached transfer, copied by this thread without the lock; null when its pages are gone meanwhile, whereupon
/// a reader gets it.
Transfer* ReadBoard::copy(std::unique_lock<std::mutex>& lock) {
  auto transfer = std::move(cached_.front());
  cached_.pop_front();
  transfer->buffer = buffers_.take();
  transfer->begin = transfer->range.offset;
  const int descriptor = files_[transfer->range.file].buffered;
  lock.unlock();
  const auto copied = copy_cached(descriptor, transfer->begin, {transfer->buffer, transfer->range.bytes});
  lock.lock();
  if (copied == transfer->range.bytes) {
    last_byte_ = Clock::now();
    counts_.copied_bytes += transfer->range.bytes;
    lent_.push_back(std::move(transfer));
    return lent_.back().get();
  }
  if (!copied) files_[transfer->range.file].copyable = false;
  buffers_.give_back(transfer->buffer);
  if (!error_ && !closed_) pending_.push_front(std::move(transfer));
  tell_readers();
  return nullptr;
}

void ReadBoard::give_back(Transfer* transfer) {
  const std::scoped_lock lock(mutex_);
  buffers_.give_back(remove(lent_, transfer)->buffer);
  // What nobody has looked at is looked at by the queue's threads, unless readers are busy anyway.
  if (!pending_.empty() && (!pending_.front()->unsure || !reading_.empty())) tell_readers();
  if (!cached_.empty()) wanted_.notify_one();
}

std::optional<WaitedRead> ReadBoard::waited_locked() const {
  if (reading_.empty()) return std::nullopt;
  const Transfer& oldest = *reading_.front();
  const std::chrono::duration<double> waited = Clock::now() - std::max(last_byte_, oldest.started);
  return WaitedRead{.path = files_[oldest.range.file].path,
                    .range = oldest.range,
                    .seconds = waited.count(),
                    .thread = oldest.thread};
}

std::optional<WaitedRead> ReadBoard::waited() const {
  const std::scoped_lock lock(mutex_);
  return waited_locked();
}

ReadCounts ReadBoard::counts() const {
  const std::scoped_lock lock(mutex_);
  return counts_;
}

void ReadBoard::close(std::chrono::milliseconds patience) {
  std::unique_lock lock(mutex_);
  closed_ = true;
  pending_.clear();
  cached_.clear();
  work_.notify_all();
  if (on_work_) on_work_();
  wanted_.wait_for(lock, patience, [&] { return readers_ == 0; });
}

}  // namespace hearth
