#pragma once

#include "base/thread_pool.h"

namespace hearth::cpu {

/// Gigabytes a second that all threads of the pool together read from memory: the best of several passes over a buffer
/// much larger than the caches. Takes about a quarter of a second; 0 when there is no memory for the buffer.
double measure_read_bandwidth(ThreadPool& pool);

}  // namespace hearth::cpu
