#include "base/reading/watched_call.h"

#include <fmt/format.h>

#include "base/printable.h"
#include "base/reading/thread_state.h"

namespace hearth {
namespace {

/// How often the waiting thread looks at clock and stop.
constexpr std::chrono::milliseconds kTick(20);

Error stalled(const ReadWatch::Asked& asked, double seconds) {
  const std::string view = kernel_view(asked.thread);
  const bool is_of_driver = !asked.question.empty();
  const std::string what = is_of_driver ? asked.question
                           : asked.bytes == 0
                               ? "it was opened"
                               : fmt::format("{} bytes at offset {} were read", asked.bytes, asked.offset);
  return {ErrorCode::timed_out,
          fmt::format("{}: no answer came for {:.1f} s while {}{}", printable(asked.path.native(), 1024), seconds, what,
                      view.empty() ? "" : fmt::format("; the thread that waits is {}", view)),
          is_of_driver ? "its driver does not answer (dmesg may say more)"
                       : "the disk or the network behind the file does not answer (dmesg may say more)"};
}

}  // namespace

Result<void> wait_watching(const ReadWatch& watch, const std::function<bool(std::chrono::milliseconds)>& is_done,
                           std::chrono::milliseconds limit, const std::stop_token& stop) {
  while (!is_done(kTick)) {
    if (stop.stop_requested()) return fail(ErrorCode::cancelled, "loading was cancelled");
    const auto asked = watch.asked();
    if (limit.count() == 0 || !asked) continue;
    const auto waited = ReadWatch::Clock::now() - asked->since;
    if (waited >= limit) return std::unexpected(stalled(*asked, std::chrono::duration<double>(waited).count()));
  }
  return {};
}

}  // namespace hearth
