#include "base/reading/read_watch.h"

#include <unistd.h>

#include <utility>

namespace hearth {
namespace {

thread_local std::shared_ptr<ReadWatch> watch_of_thread;

}  // namespace

void ReadWatch::begin(Asked asked) {
  const std::lock_guard lock(mutex_);
  asked.thread = ::gettid();
  asked.since = Clock::now();
  asked_ = std::move(asked);
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
