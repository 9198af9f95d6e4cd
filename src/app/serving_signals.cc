#include "app/serving_signals.h"

#include <poll.h>
#include <pthread.h>
#include <sys/eventfd.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include <array>
#include <csignal>

namespace hearth::app {
namespace {

bool is_ignored(int signal) {
  struct sigaction action {};
  return sigaction(signal, nullptr, &action) == 0 && action.sa_handler == SIG_IGN;
}

/// Blocked, so that they come by the descriptor alone and not to whichever thread.
sigset_t block_signals() {
  sigset_t set;
  sigemptyset(&set);
  for (const int signal : {SIGINT, SIGTERM}) sigaddset(&set, signal);
  if (!is_ignored(SIGHUP)) sigaddset(&set, SIGHUP);
  pthread_sigmask(SIG_BLOCK, &set, nullptr);
  for (const int signal : {SIGPIPE, SIGUSR1, SIGUSR2}) std::signal(signal, SIG_IGN);
  return set;
}

}  // namespace

ServingSignals::ServingSignals(bool reloads) : reloads_(reloads), failures_(eventfd(0, EFD_CLOEXEC)) {
  const sigset_t set = block_signals();
  signals_ = signalfd(-1, &set, SFD_CLOEXEC);
}

ServingSignals::~ServingSignals() {
  close(signals_);
  close(failures_);
}

ServingSignals::Event ServingSignals::wait() {
  for (;;) {
    std::array<pollfd, 2> watched = {pollfd{failures_, POLLIN, 0}, pollfd{signals_, POLLIN, 0}};
    if (poll(watched.data(), watched.size(), -1) < 0) continue;
    if (watched[0].revents != 0) return Event::failure;
    signalfd_siginfo signal{};
    if (read(signals_, &signal, sizeof signal) != sizeof signal) continue;
    return reloads_ && signal.ssi_signo == SIGHUP ? Event::reload : Event::end;
  }
}

bool ServingSignals::ends_within(std::chrono::milliseconds time) {
  pollfd watched = {signals_, POLLIN, 0};
  if (poll(&watched, 1, static_cast<int>(time.count())) <= 0) return false;
  signalfd_siginfo signal{};
  return read(signals_, &signal, sizeof signal) == sizeof signal && !(reloads_ && signal.ssi_signo == SIGHUP);
}

void ServingSignals::fail(const Error& error) {
  {
    const std::lock_guard lock(mutex_);
    if (failure_) return;
    failure_ = error;
  }
  eventfd_write(failures_, 1);
}

Error ServingSignals::failure() const {
  const std::lock_guard lock(mutex_);
  return failure_.value_or(Error{ErrorCode::internal, "nothing has failed"});
}

}  // namespace hearth::app
