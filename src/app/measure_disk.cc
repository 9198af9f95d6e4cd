#include "app/measure_disk.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/printable.h"
#include "base/reading/read_queue.h"
#include "base/reading/watched_call.h"

namespace hearth::app {
namespace {

namespace fs = std::filesystem;
using Clock = std::chrono::steady_clock;

constexpr uint64_t kLeastBytes = 16U << 20;
constexpr uint64_t kPieceBytes = 4U << 20;
constexpr std::chrono::seconds kTime(2);
/// So many entries are looked at: who names "/" waits for no whole disk.
constexpr size_t kMostEntries = 10'000;

struct Candidate {
  fs::path path;
  uint64_t bytes = 0;
};

Result<Candidate> largest_file(const fs::path& path) {
  const AsksFile asks(path, 0, 0);
  std::error_code error;
  Candidate best;
  const auto look = [&best](const fs::path& file) {
    std::error_code ignored;
    if (!fs::is_regular_file(file, ignored)) return;
    const uint64_t bytes = fs::file_size(file, ignored);
    if (!ignored && bytes > best.bytes) best = {.path = file, .bytes = bytes};
  };
  look(path);
  constexpr auto kOptions = fs::directory_options::skip_permission_denied;
  size_t entries = 0;
  for (auto it = fs::recursive_directory_iterator(path, kOptions, error);
       !error && it != fs::recursive_directory_iterator() && entries < kMostEntries; it.increment(error), ++entries) {
    look(it->path());
  }
  if (best.bytes >= kLeastBytes) return best;
  return fail(ErrorCode::not_found,
              fmt::format("{}: no file of {} MiB or more, which measuring its disk takes",
                          printable(path.native(), 1024), kLeastBytes >> 20),
              "name a model or the folder of one");
}

/// By io_uring, or by threads where that is forbidden.
Result<std::unique_ptr<ReadQueue>> open_queue(const File& file, std::chrono::milliseconds patience) {
  const File* const files[] = {&file};
  ReadQueue::Options options = {.most_bytes = kPieceBytes, .stall_limit = patience, .way = ReadWay::ring};
  auto queue = ReadQueue::open(files, options);
  if (queue || queue.error().code != ErrorCode::unsupported) return queue;
  options.way = ReadWay::threads;
  return ReadQueue::open(files, options);
}

}  // namespace

Result<DiskSpeed> measure_disk(const fs::path& path, std::chrono::milliseconds patience) {
  auto found = watched_call([path] { return largest_file(path); }, patience, {});
  if (!found) return pass_on(found);
  auto file = watched_call([file = found->path] { return File::open(file); }, patience, {});
  if (!file) return pass_on(file);
  auto queue = open_queue(*file, patience);
  if (!queue) return pass_on(queue);
  const auto start = Clock::now();
  for (uint64_t offset = 0; offset < found->bytes; offset += kPieceBytes) {
    (*queue)->submit({.file = 0, .offset = offset, .bytes = std::min(kPieceBytes, found->bytes - offset)});
  }
  DiskSpeed speed = {.file = found->path, .way = std::string(name_of((*queue)->way()))};
  while (Clock::now() - start < kTime) {
    auto read = (*queue)->next({});
    if (!read) return pass_on(read);
    if (!*read) break;
    speed.bytes += (*read)->bytes().size();
    speed.seconds = std::chrono::duration<double>(Clock::now() - start).count();
  }
  if (speed.bytes == 0) {
    return fail(ErrorCode::timed_out, fmt::format("{}: not one piece of it came within {} s",
                                                  printable(found->path.native(), 1024), kTime.count()));
  }
  speed.past_page_cache = (*queue)->counts().direct_bytes >= speed.bytes;
  return speed;
}

}  // namespace hearth::app
