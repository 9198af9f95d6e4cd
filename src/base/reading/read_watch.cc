#include "base/reading/read_watch.h"

#include <unistd.h>

#include <utility>

namespace hearth {
namespace {

thread_local std::shared_ptr<ReadWatch> watch_of_thread;

}  // namespace

void ReadWatch::begin(const std::filesystem::path& path, uint64_t offset, uint64_t bytes) {
  const std::lock_guard lock(mutex_);
  asked_ = {.path = path, .offset = offset, .bytes = bytes, .thread = ::gettid(), .since = Clock::now()};
}

void ReadWatch::end() {
  const std::lock_guard lock(mutex_);
  asked_.reset();
  ++answered_;
}

std::optional<ReadWatch::Asked> ReadWatch::asked() const {
  const std::lock_guard lock(mutex_);
  return asked_;
}

uint64_t ReadWatch::answered() const {
  const std::lock_guard lock(mutex_);
  return answered_;
}

ReadWatch* ReadWatch::of_thread() { return watch_of_thread.get(); }
void ReadWatch::set_of_thread(std::shared_ptr<ReadWatch> watch) { watch_of_thread = std::move(watch); }

}  // namespace hearth
