#pragma once

#include <chrono>
#include <cstdint>
#include <filesystem>
#include <string>

#include "base/result.h"

namespace hearth::app {

/// How fast files came from a folder's disk.
struct DiskSpeed {
  std::filesystem::path file;  ///< that was read
  uint64_t bytes = 0;
  double seconds = 0;
  bool past_page_cache = false;  ///< all of it; else this may be the speed of memory
  std::string way;               ///< "ring" or "threads" (base/reading/read_way.h)
};

/// Reads the largest file at or below `path` from its start, as loading does but past the page cache, for two seconds
/// at most. Errors: not_found (nothing of 16 MiB or more); timed_out, when the disk gives no byte for `patience`; io.
Result<DiskSpeed> measure_disk(const std::filesystem::path& path, std::chrono::milliseconds patience);

}  // namespace hearth::app
