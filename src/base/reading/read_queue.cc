#include "base/reading/read_queue.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <system_error>

#include "base/reading/read_ring.h"

namespace hearth {
namespace {

/// How long the end of a queue waits for outstanding reads, which mostly come at once.
constexpr std::chrono::milliseconds kPatience(250);

/// A disk wants several reads at once to be busy, a network filesystem answers each after a while. With more, io_uring
/// is no quicker but slower: buffers that wait for a disk are none that the next read could have.
constexpr uint32_t kMostReadsAtOnce = 8;

/// The same file once more, by its descriptor: its name may be another's by now. -1 where direct reads are refused.
int open_direct(int descriptor) {
  return ::open(fmt::format("/proc/self/fd/{}", descriptor).c_str(), O_RDONLY | O_CLOEXEC | O_DIRECT);
}

}  // namespace

Result<std::unique_ptr<ReadQueue>> ReadQueue::open(std::span<const File* const> files, Options options) {
  // A direct read begins and ends with whole blocks.
  auto buffers = ReadBuffers::create(options.buffers, options.most_bytes + 2 * ReadBuffers::kAlignment);
  if (!buffers) return pass_on(buffers);
  std::vector<ReadableFile> readable;
  int error_number = 0;
  for (const File* file : files) {
    ReadableFile& to = readable.emplace_back();
    to.path = file->path();
    to.size_bytes = file->size_bytes();
    to.buffered = ::fcntl(file->descriptor(), F_DUPFD_CLOEXEC, 0);
    if (to.buffered < 0) error_number = errno;
    const bool through_cache = options.way == ReadWay::buffered || options.way == ReadWay::cached;
    if (!through_cache) to.direct = open_direct(file->descriptor());
  }
  const bool may_copy = options.way == ReadWay::automatic || options.way == ReadWay::cached;
  auto board = std::make_shared<ReadBoard>(std::move(readable), std::move(*buffers), may_copy);
  if (error_number != 0) {
    return fail(ErrorCode::io,
                fmt::format("cannot open {} files for reading once more: {}", files.size(),
                            std::generic_category().message(error_number)),
                "raise the limit (ulimit -n)");
  }
  std::unique_ptr<ReadQueue> queue(new ReadQueue(std::move(board), options));
  if (auto started = queue->start(); !started) return pass_on(started);
  return queue;
}

Result<void> ReadQueue::start() {
  const ReadWay wanted = options_.way;
  const uint32_t at_once = std::min(kMostReadsAtOnce, options_.buffers);
  const bool by_ring = wanted == ReadWay::ring || (wanted == ReadWay::automatic && board_->any_direct());
  if (by_ring && start_read_ring(board_, at_once)) {
    way_ = ReadWay::ring;
    return {};
  }
  if (wanted == ReadWay::ring) {
    return fail(ErrorCode::unsupported, "this system does not let the process use io_uring");
  }
  const PositionedRead read = options_.read ? options_.read : PositionedRead(::pread);
  if (!start_read_threads(board_, at_once, read)) {
    return fail(ErrorCode::io, "the system gives no threads for reading files", "raise the limit (ulimit -u)");
  }
  way_ = wanted == ReadWay::automatic ? ReadWay::threads : wanted;
  return {};
}

ReadQueue::~ReadQueue() { board_->close(kPatience); }

Result<std::optional<FinishedRead>> ReadQueue::next(const std::stop_token& stop) {
  auto transfer = board_->next(stop, options_.stall_limit);
  if (!transfer) return pass_on(transfer);
  if (*transfer == nullptr) return std::nullopt;
  return FinishedRead(board_, *transfer);
}

}  // namespace hearth
