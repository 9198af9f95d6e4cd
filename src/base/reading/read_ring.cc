#include "base/reading/read_ring.h"

#include <liburing.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <cerrno>
#include <system_error>
#include <thread>

namespace hearth {
namespace {

bool can_read(io_uring& ring) {
  io_uring_probe* probe = io_uring_get_probe_ring(&ring);
  if (probe == nullptr) return false;
  const bool supported = io_uring_opcode_supported(probe, IORING_OP_READ) != 0;
  io_uring_free_probe(probe);
  return supported;
}

/// Errors of a submit after which it is tried again.
bool passes(int error_number) { return error_number == EINTR || error_number == EAGAIN || error_number == EBUSY; }

/// The ring, and an eventfd by which others wake its thread. For that one thread but for wake().
class ReadRing {
 public:
  static std::unique_ptr<ReadRing> create(uint32_t depth) {
    std::unique_ptr<ReadRing> made(new ReadRing(depth));
    made->wake_ = ::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (made->wake_ < 0) return nullptr;
    made->has_ring_ = ::io_uring_queue_init(depth + 1, &made->ring_, 0) == 0;
    if (!made->has_ring_ || !can_read(made->ring_)) return nullptr;
    return made;
  }

  ~ReadRing() {
    if (has_ring_) ::io_uring_queue_exit(&ring_);
    if (wake_ >= 0) ::close(wake_);
  }

  void wake() const { (void)::eventfd_write(wake_, 1); }

  void run(ReadBoard& board) {
    while (!board.closed() || reading_ > 0) {
      while (reading_ < depth_) {
        Transfer* transfer = board.take();
        if (transfer == nullptr) break;
        begin(board, transfer);
      }
      watch_for_wake();
      if (const int result = ::io_uring_submit_and_wait(&ring_, 1); result < 0 && !passes(-result)) {
        return board.fail({ErrorCode::io, "io_uring: " + std::generic_category().message(-result), ""});
      }
      io_uring_cqe* completion = nullptr;
      while (::io_uring_peek_cqe(&ring_, &completion) == 0) {
        auto* transfer = static_cast<Transfer*>(::io_uring_cqe_get_data(completion));
        const int result = completion->res;
        ::io_uring_cqe_seen(&ring_, completion);
        complete(board, transfer, result);
      }
    }
  }

 private:
  explicit ReadRing(uint32_t depth) : depth_(depth) {}

  /// The ring has an entry for each read and one for the wake-up, so that there is always one.
  void begin(ReadBoard& board, Transfer* transfer) {
    const ReadPart part = board.next_part(*transfer);
    io_uring_sqe* entry = ::io_uring_get_sqe(&ring_);
    ::io_uring_prep_read(entry, part.descriptor, part.into, static_cast<unsigned>(part.bytes), part.offset);
    ::io_uring_sqe_set_data(entry, transfer);
    ++reading_;
  }

  void watch_for_wake() {
    if (watching_) return;
    io_uring_sqe* entry = ::io_uring_get_sqe(&ring_);
    ::io_uring_prep_poll_add(entry, wake_, POLLIN);
    ::io_uring_sqe_set_data(entry, nullptr);
    watching_ = true;
  }

  /// A null transfer is the wake-up.
  void complete(ReadBoard& board, Transfer* transfer, int result) {
    if (transfer == nullptr) {
      eventfd_t count = 0;
      (void)::eventfd_read(wake_, &count);
      watching_ = false;
      return;
    }
    --reading_;
    if (!board.finish(transfer, result)) begin(board, transfer);
  }

  const uint32_t depth_;
  io_uring ring_ = {};
  bool has_ring_ = false;
  int wake_ = -1;
  bool watching_ = false;
  uint32_t reading_ = 0;
};

}  // namespace

bool start_read_ring(const std::shared_ptr<ReadBoard>& board, uint32_t depth) {
  std::shared_ptr<ReadRing> ring = ReadRing::create(depth);
  if (!ring) return false;
  board->enter([ring] { ring->wake(); });
  try {
    std::thread([board, ring] {
      ring->run(*board);
      board->leave();
    }).detach();
  } catch (const std::system_error&) {
    board->leave();
    return false;
  }
  return true;
}

}  // namespace hearth
