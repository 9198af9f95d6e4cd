#pragma once

#include <sys/types.h>

#include <cstdint>
#include <functional>
#include <memory>

#include "base/reading/read_board.h"

namespace hearth {

/// pread, or what a test puts in its place: bytes read, or -1 with errno.
using PositionedRead = std::function<ssize_t(int descriptor, void* into, size_t bytes, off_t offset)>;

/// Starts up to `count` threads that carry out a board's reads until it is closed. Nobody has to wait for them: each
/// ends when the system call that it is in returns. False where the system gives no thread.
bool start_read_threads(const std::shared_ptr<ReadBoard>& board, uint32_t count, const PositionedRead& read);

}  // namespace hearth
