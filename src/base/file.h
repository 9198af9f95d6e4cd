#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <span>
#include <string>

#include "base/result.h"

namespace hearth {

/// A regular file opened for reading. Reads go into the caller's buffers and nothing is mapped, so the bytes of a model
/// are counted once in the process. All const functions may be called from many threads at once; the descriptor is
/// closed by the destructor.
class File {
 public:
  /// Errors: not_found; io for everything else that the system refuses; invalid_argument for a directory or a device.
  static Result<File> open(const std::filesystem::path& path);

  /// Takes over an open descriptor, whatever it is; `size_bytes` is what is expected of it.
  static File adopt(std::filesystem::path path, int descriptor, uint64_t size_bytes);

  File(File&& other) noexcept;
  File& operator=(File&& other) noexcept;
  File(const File&) = delete;
  File& operator=(const File&) = delete;
  ~File();

  const std::filesystem::path& path() const { return path_; }

  /// Size when the file was opened.
  uint64_t size_bytes() const { return size_bytes_; }

  /// The open descriptor, still owned by this object.
  int descriptor() const { return descriptor_; }

  /// Fills `out` with the bytes from `offset` on. All or nothing: `corrupt` when the file ends before, `io` when the
  /// system refuses; both name the path and the offset.
  Result<void> read_at(uint64_t offset, std::span<std::byte> out) const;

  /// `corrupt` when its size or its time of change are not those of when it was opened; io.
  Result<void> check_unchanged() const;

  /// A hint to the page cache, which may ignore it: these bytes will not be needed again (0 bytes means up to the end).
  void drop_cached_pages(uint64_t offset = 0, uint64_t bytes = 0) const;

 private:
  File(std::filesystem::path path, int descriptor, uint64_t size_bytes)
      : path_(std::move(path)), descriptor_(descriptor), size_bytes_(size_bytes) {}

  std::filesystem::path path_;
  int descriptor_ = -1;
  uint64_t size_bytes_ = 0;
  int64_t changed_ns_ = 0;  ///< time of the last change of its bytes; 0 of what was adopted
};

/// The whole of a small file. A file larger than `max_bytes` is an error (unsupported), found before anything is
/// allocated.
Result<std::string> read_whole_file(const std::filesystem::path& path, uint64_t max_bytes = 256u << 20);

}  // namespace hearth
