#pragma once

#include <chrono>
#include <functional>
#include <future>
#include <memory>
#include <stop_token>
#include <string>
#include <thread>
#include <utility>

#include "base/reading/read_watch.h"
#include "base/result.h"

namespace hearth {

/// Until `is_done` answers true (which it may wait a moment for). Errors: cancelled (`stop`); timed_out, when what was
/// asked of a file has had no answer for `limit` (0 is none), with file, offset, and where in the kernel the thread is.
Result<void> wait_watching(const ReadWatch& watch, const std::function<bool(std::chrono::milliseconds)>& is_done,
                           std::chrono::milliseconds limit, const std::stop_token& stop);

/// Does `work`, which reads files, on a thread of its own, and waits for it no longer than the files answer or `stop`
/// allows. A thread that is in the kernel cannot be taken back: it is left behind and its result dropped, so `work`
/// must own all that it uses. Errors: those of `work` and of wait_watching.
template <class Work, class Returned = std::invoke_result_t<Work>>
Returned watched_call(Work work, std::chrono::milliseconds limit, const std::stop_token& stop) {
  const auto watch = std::make_shared<ReadWatch>();
  std::packaged_task<Returned()> task([watch, work = std::move(work)] {
    ReadWatch::set_of_thread(watch);
    return work();
  });
  std::future<Returned> result = task.get_future();
  std::thread(std::move(task)).detach();
  const auto is_done = [&](std::chrono::milliseconds time) {
    return result.wait_for(time) == std::future_status::ready;
  };
  if (auto done = wait_watching(*watch, is_done, limit, stop); !done) return pass_on(done);
  return result.get();
}

}  // namespace hearth
