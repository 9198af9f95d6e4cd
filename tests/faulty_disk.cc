// A disk that fails, hangs or is slow, for a program that it is preloaded into (LD_PRELOAD): reads by pread of a file
// whose name ends with FAULTY_DISK_FILE that touch the byte OFFSET wait DELAY_MS first and then fail with ERRNO, if
// that is given; without an offset every read is meant. With BYTES_PER_SECOND all of them together come no sooner than
// that. These four are variables of the environment, FAULTY_DISK_OFFSET and so on, or lines OFFSET=... of the file that
// FAULTY_DISK_SETTINGS names, which may change at any time, also for reads that wait.

#include <dlfcn.h>
#include <limits.h>
#include <sys/types.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstdlib>
#include <fstream>
#include <mutex>
#include <string>
#include <string_view>
#include <thread>

namespace {

using Clock = std::chrono::steady_clock;
using Pread = ssize_t (*)(int, void*, size_t, off_t);

long number(const std::string& name, long otherwise) {
  if (const char* settings = std::getenv("FAULTY_DISK_SETTINGS")) {
    std::ifstream file(settings);
    for (std::string line; std::getline(file, line);) {
      if (line.starts_with(name + "=")) return std::strtol(line.c_str() + name.size() + 1, nullptr, 10);
    }
    return otherwise;
  }
  const char* text = std::getenv(("FAULTY_DISK_" + name).c_str());
  return text == nullptr ? otherwise : std::strtol(text, nullptr, 10);
}

bool is_faulty(int descriptor) {
  const char* wanted = std::getenv("FAULTY_DISK_FILE");
  char path[PATH_MAX];
  const ssize_t length = ::readlink(("/proc/self/fd/" + std::to_string(descriptor)).c_str(), path, sizeof(path));
  return wanted != nullptr && length >= 0 && std::string_view(path, static_cast<size_t>(length)).ends_with(wanted);
}

bool is_meant(size_t bytes, off_t offset) {
  const long at = number("OFFSET", -1);
  return at < 0 || (offset <= at && at < offset + static_cast<off_t>(bytes));
}

void wait_for_turn(size_t bytes, long bytes_per_second) {
  static std::mutex mutex;
  static Clock::time_point free_at;
  const std::chrono::duration<double> takes(static_cast<double>(bytes) / static_cast<double>(bytes_per_second));
  std::unique_lock lock(mutex);
  free_at = std::max(free_at, Clock::now()) + std::chrono::duration_cast<Clock::duration>(takes);
  const Clock::time_point done_at = free_at;
  lock.unlock();
  std::this_thread::sleep_until(done_at);
}

ssize_t faulty_pread(const char* symbol, int descriptor, void* into, size_t bytes, off_t offset) {
  if (is_faulty(descriptor)) {
    constexpr std::chrono::milliseconds kLook(20);
    const auto begin = Clock::now();
    const auto waits = [&] {
      return is_meant(bytes, offset) && Clock::now() < begin + std::chrono::milliseconds(number("DELAY_MS", 0));
    };
    while (waits()) std::this_thread::sleep_for(kLook);
    if (const long error = number("ERRNO", 0); error != 0 && is_meant(bytes, offset)) {
      errno = static_cast<int>(error);
      return -1;
    }
    if (const long rate = number("BYTES_PER_SECOND", 0); rate > 0) wait_for_turn(bytes, rate);
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
