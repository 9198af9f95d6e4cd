#include "device/cpu/bandwidth.h"

#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdint>

#include "device/cpu/memory.h"

namespace hearth::cpu {
namespace {

constexpr size_t kSmallestBuffer = size_t{512} << 20;
constexpr size_t kChunk = size_t{256} << 10;

/// 512 MiB, or four times the last-level cache.
size_t buffer_bytes() {
  const long cache = sysconf(_SC_LEVEL3_CACHE_SIZE);
  const size_t wanted = cache > 0 ? size_t{4} * static_cast<size_t>(cache) : 0;
  return std::max(kSmallestBuffer, wanted) / kChunk * kChunk;
}

/// Adds up a chunk in independent sums, which compilers turn into vector loads.
uint64_t sum_of(const std::byte* chunk) {
  const auto* words = reinterpret_cast<const uint64_t*>(chunk);
  uint64_t sums[16] = {};
  for (size_t i = 0; i < kChunk / sizeof(uint64_t); i += 16) {
    __builtin_prefetch(words + i + 512);
    __builtin_prefetch(words + i + 520);
    for (size_t lane = 0; lane < 16; ++lane) sums[lane] += words[i + lane];
  }
  uint64_t total = 0;
  for (const uint64_t sum : sums) total += sum;
  return total;
}

}  // namespace

double measure_read_bandwidth(ThreadPool& pool) {
  const size_t bytes = buffer_bytes();
  auto buffer = Mapping::reserve(bytes, "measuring the bandwidth");
  if (!buffer) return 0;
  constexpr size_t kPage = 4096;
  pool.parallel_for(bytes / kChunk, [&](size_t chunk, unsigned) {
    for (size_t offset = 0; offset < kChunk; offset += kPage) buffer->data()[chunk * kChunk + offset] = std::byte{1};
  });
  double best_seconds = 1e9;
  std::atomic<uint64_t> total = 0;  // keeps the reads from being optimised away
  for (int pass = 0; pass < 5; ++pass) {
    const auto start = std::chrono::steady_clock::now();
    pool.parallel_for(bytes / kChunk, [&](size_t chunk, unsigned) {
      total.fetch_add(sum_of(buffer->data() + chunk * kChunk), std::memory_order_relaxed);
    });
    const std::chrono::duration<double> seconds = std::chrono::steady_clock::now() - start;
    best_seconds = std::min(best_seconds, seconds.count());
  }
  return static_cast<double>(bytes) / best_seconds * 1e-9;
}

}  // namespace hearth::cpu
