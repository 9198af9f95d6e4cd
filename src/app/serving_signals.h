#pragma once

#include <chrono>
#include <cstdint>
#include <mutex>
#include <optional>

#include "base/result.h"

namespace hearth::app {

/// What a running server is told from outside (signals) and by its own threads (a failure). Made by the main thread
/// before it starts any other one, since threads inherit which signals are blocked; waited for by the main thread
/// alone.
///
/// SIGINT and SIGTERM end the server. So does SIGHUP, unless `reloads` is given; where the parent has it ignored
/// (nohup), it stays ignored. SIGUSR1, SIGUSR2 and SIGPIPE are ignored: log rotators and the like send them to anybody.
class ServingSignals {
 public:
  explicit ServingSignals(bool reloads);
  ServingSignals(const ServingSignals&) = delete;
  ServingSignals& operator=(const ServingSignals&) = delete;
  ~ServingSignals();

  enum class Event : uint8_t { end, reload, failure };

  /// The next one. After failure(), always `failure`.
  Event wait();

  /// Whether a signal that ends the server comes within `time`.
  bool ends_within(std::chrono::milliseconds time);

  /// Serving cannot go on. From any thread; only the first one counts.
  void fail(const Error& error);

  /// What was given to fail().
  Error failure() const;

 private:
  const bool reloads_;
  int signals_ = -1;   ///< signalfd
  int failures_ = -1;  ///< eventfd
  mutable std::mutex mutex_;
  std::optional<Error> failure_;
};

}  // namespace hearth::app
