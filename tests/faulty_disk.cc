// A disk that fails or hangs, for a program that it is preloaded into (LD_PRELOAD): reads by pread of a file whose name
// ends with FAULTY_DISK_FILE that touch the byte FAULTY_DISK_OFFSET wait FAULTY_DISK_DELAY_MS first and then fail with
// FAULTY_DISK_ERRNO, if that is given. Without an offset every read is meant.

#include <dlfcn.h>
#include <limits.h>
#include <sys/types.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <cstdlib>
#include <string>
#include <string_view>
#include <thread>

namespace {

using Pread = ssize_t (*)(int, void*, size_t, off_t);

long number(const char* name, long otherwise) {
  const char* text = std::getenv(name);
  return text == nullptr ? otherwise : std::strtol(text, nullptr, 10);
}

bool is_meant(int descriptor, size_t bytes, off_t offset) {
  const char* wanted = std::getenv("FAULTY_DISK_FILE");
  char path[PATH_MAX];
  const ssize_t length = ::readlink(("/proc/self/fd/" + std::to_string(descriptor)).c_str(), path, sizeof(path));
  if (wanted == nullptr || length < 0) return false;
  if (!std::string_view(path, static_cast<size_t>(length)).ends_with(wanted)) return false;
  const long at = number("FAULTY_DISK_OFFSET", -1);
  return at < 0 || (offset <= at && at < offset + static_cast<off_t>(bytes));
}

ssize_t faulty_pread(const char* symbol, int descriptor, void* into, size_t bytes, off_t offset) {
  if (is_meant(descriptor, bytes, offset)) {
    std::this_thread::sleep_for(std::chrono::milliseconds(number("FAULTY_DISK_DELAY_MS", 0)));
    if (const long error = number("FAULTY_DISK_ERRNO", 0); error != 0) {
      errno = static_cast<int>(error);
      return -1;
    }
  }
  return reinterpret_cast<Pread>(::dlsym(RTLD_NEXT, symbol))(descriptor, into, bytes, offset);
}

}  // namespace

extern "C" ssize_t pread(int descriptor, void* into, size_t bytes, off_t offset) {
  return faulty_pread("pread", descriptor, into, bytes, offset);
}

extern "C" ssize_t pread64(int descriptor, void* into, size_t bytes, off64_t offset) {
  return faulty_pread("pread64", descriptor, into, bytes, offset);
}
