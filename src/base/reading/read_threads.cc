#include "base/reading/read_threads.h"

#include <cerrno>
#include <system_error>
#include <thread>

namespace hearth {
namespace {

void run(ReadBoard& board, const PositionedRead& read) {
  while (Transfer* transfer = board.wait_and_take()) {
    int64_t result = 0;
    do {
      const ReadPart part = board.next_part(*transfer);
      result = read(part.descriptor, part.into, part.bytes, static_cast<off_t>(part.offset));
      if (result < 0) result = -errno;
    } while (!board.finish(transfer, result));
  }
}

}  // namespace

bool start_read_threads(const std::shared_ptr<ReadBoard>& board, uint32_t count, const PositionedRead& read) {
  for (uint32_t i = 0; i < count; ++i) {
    board->enter();
    try {
      std::thread([board, read] {
        run(*board, read);
        board->leave();
      }).detach();
    } catch (const std::system_error&) {
      board->leave();
      return i > 0;
    }
  }
  return count > 0;
}

}  // namespace hearth
