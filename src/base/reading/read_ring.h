#pragma once

#include <cstdint>
#include <memory>

#include "base/reading/read_board.h"

namespace hearth {

/// Starts a thread that carries out a board's reads through io_uring, up to `depth` at once, until the board is closed
/// and what it had begun has come. Nobody has to wait for it. False where io_uring is forbidden
/// (containers) or too old, or the system gives no thread.
bool start_read_ring(const std::shared_ptr<ReadBoard>& board, uint32_t depth);

}  // namespace hearth
