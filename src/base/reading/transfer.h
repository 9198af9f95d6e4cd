#pragma once

#include <sys/types.h>

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <filesystem>

namespace hearth {

/// A range of one of a queue's files.
struct FileRange {
  uint32_t file = 0;  ///< index into the files that the queue was opened with
  uint64_t offset = 0;
  uint64_t bytes = 0;
};

/// A file of a queue: descriptors of its own, so that nothing depends on who opened it.
struct ReadableFile {
  std::filesystem::path path;
  uint64_t size_bytes = 0;
  int buffered = -1;
  int direct = -1;       ///< opened with O_DIRECT; -1 where the filesystem refuses that
  bool copyable = true;  ///< that copy_cached knows its cache
};

/// A range on its way into a buffer. Direct reads begin before the range and end after it, as they have to be aligned.
struct Transfer {
  uint64_t number = 0;  ///< as submitted
  FileRange range;
  bool unsure = true;  ///< nobody has looked yet whether it is cached
  bool direct = false;
  std::byte* buffer = nullptr;
  uint64_t begin = 0;  ///< in the file, of what lies at `buffer`
  uint64_t got = 0;    ///< bytes from `begin` on
  std::chrono::steady_clock::time_point started;
  pid_t thread = 0;  ///< that reads it

  /// Up to the end of the range.
  uint64_t needed() const { return range.offset + range.bytes - begin; }
};

/// What has still to be read of a transfer: one system call's worth.
struct ReadPart {
  int descriptor = -1;
  std::byte* into = nullptr;
  uint64_t bytes = 0;
  uint64_t offset = 0;
};

}  // namespace hearth
