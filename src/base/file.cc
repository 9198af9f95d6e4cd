#include "base/file.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <system_error>
#include <utility>

#include "base/printable.h"
#include "base/reading/read_watch.h"

namespace hearth {
namespace {

std::string shown(const std::filesystem::path& path) { return printable(path.native(), 1024); }

std::string reason(int error_number) { return std::generic_category().message(error_number); }

std::unexpected<Error> open_failure(const std::filesystem::path& path, int error_number) {
  switch (error_number) {
    case ENOENT:
    case ENOTDIR:
      return fail(ErrorCode::not_found, fmt::format("{}: no such file", shown(path)));
    case EACCES:
    case EPERM:
      return fail(ErrorCode::io, fmt::format("{}: no permission to read it", shown(path)),
                  "check the owner and the mode of the file and of its folders");
    case EMFILE:
    case ENFILE:
      return fail(ErrorCode::io, fmt::format("{}: too many open files", shown(path)), "raise the limit (ulimit -n)");
    default:
      return fail(ErrorCode::io, fmt::format("{}: cannot open: {}", shown(path), reason(error_number)));
  }
}

int64_t changed_ns(const struct stat& status) {
  return int64_t{status.st_mtim.tv_sec} * 1'000'000'000 + status.st_mtim.tv_nsec;
}

}  // namespace

Result<File> File::open(const std::filesystem::path& path) {
  // O_NONBLOCK: opening a pipe must not wait for a writer; it changes nothing for regular files.
  const AsksFile asks(path, 0, 0);
  const int descriptor = ::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  if (descriptor < 0) return open_failure(path, errno);
  File file(path, descriptor, 0);  // closes the descriptor on every return below

  struct stat status = {};
  if (::fstat(descriptor, &status) != 0) return open_failure(path, errno);
  if (!S_ISREG(status.st_mode)) {
    return fail(ErrorCode::invalid_argument,
                fmt::format("{}: is {}, not a file", shown(path),
                            S_ISDIR(status.st_mode) ? "a directory" : "a device, pipe or socket"));
  }
  file.size_bytes_ = static_cast<uint64_t>(status.st_size);
  file.changed_ns_ = changed_ns(status);
  return file;
}

File File::adopt(std::filesystem::path path, int descriptor, uint64_t size_bytes) {
  return {std::move(path), descriptor, size_bytes};
}

File::File(File&& other) noexcept
    : path_(std::move(other.path_)),
      descriptor_(std::exchange(other.descriptor_, -1)),
      size_bytes_(std::exchange(other.size_bytes_, 0)),
      changed_ns_(other.changed_ns_) {}

File& File::operator=(File&& other) noexcept {
  std::swap(path_, other.path_);
  std::swap(descriptor_, other.descriptor_);
  std::swap(size_bytes_, other.size_bytes_);
  std::swap(changed_ns_, other.changed_ns_);
  return *this;
}

File::~File() {
  if (descriptor_ >= 0) ::close(descriptor_);
}

Result<void> File::read_at(uint64_t offset, std::span<std::byte> out) const {
  if (offset > size_bytes_ || out.size() > size_bytes_ - offset) {
    return fail(ErrorCode::corrupt, fmt::format("{}: {} bytes are needed at offset {}, but the file ends at {}",
                                                shown(path_), out.size(), offset, size_bytes_));
  }
  constexpr size_t kMaxBytesPerRead = size_t{1} << 30;  // Linux refuses little more than 2 GiB at once
  while (!out.empty()) {
    const size_t wanted = std::min(out.size(), kMaxBytesPerRead);
    const AsksFile asks(path_, offset, wanted);
    const ssize_t got = ::pread(descriptor_, out.data(), wanted, static_cast<off_t>(offset));
    if (got < 0) {
      if (errno == EINTR) continue;
      const int error_number = errno;
      return fail(ErrorCode::io, fmt::format("{}: cannot read {} bytes at offset {}: {}", shown(path_), wanted, offset,
                                             reason(error_number)));
    }
    if (got == 0) {
      return fail(ErrorCode::corrupt, fmt::format("{}: the file was cut to {} bytes while it was read (it had {})",
                                                  shown(path_), offset, size_bytes_));
    }
    out = out.subspan(static_cast<size_t>(got));
    offset += static_cast<uint64_t>(got);
  }
  return {};
}

Result<void> File::check_unchanged() const {
  struct stat status = {};
  if (::fstat(descriptor_, &status) != 0) {
    return fail(ErrorCode::io, fmt::format("{}: cannot look at the file: {}", shown(path_), reason(errno)));
  }
  const auto size = static_cast<uint64_t>(status.st_size);
  if (size == size_bytes_ && changed_ns(status) == changed_ns_) return {};
  return fail(ErrorCode::corrupt,
              fmt::format("{}: the file was changed while it was read ({} bytes when it was opened, {} now)",
                          shown(path_), size_bytes_, size),
              "wait until whatever writes it is done, and load again");
}

void File::drop_cached_pages(uint64_t offset, uint64_t bytes) const {
  (void)::posix_fadvise(descriptor_, static_cast<off_t>(offset), static_cast<off_t>(bytes), POSIX_FADV_DONTNEED);
}

Result<std::string> read_whole_file(const std::filesystem::path& path, uint64_t max_bytes) {
  auto file = File::open(path);
  if (!file) return pass_on(file);
  if (file->size_bytes() > max_bytes) {
    return fail(ErrorCode::unsupported, fmt::format("{}: has {} bytes, more than the {} that such a file may have",
                                                    shown(path), file->size_bytes(), max_bytes));
  }
  std::string text;
  Result<void> read;
  // The callback may be offered more room than was asked for.
  const auto bytes = static_cast<size_t>(file->size_bytes());
  text.resize_and_overwrite(bytes, [&](char* data, size_t) {
    read = file->read_at(0, std::as_writable_bytes(std::span(data, bytes)));
    return read ? bytes : 0;
  });
  if (!read) return pass_on(read);
  return text;
}

}  // namespace hearth
