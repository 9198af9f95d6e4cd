#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <string>

#include "base/result.h"
#include "server/served_models.h"
#include "server/server_options.h"

namespace hearth {

/// The HTTP server: listens from start() on, whatever the state of its models, and answers as docs/api.md says.
///
/// One thread does all input and output; templates and tokenising of long prompts run on two more, and long answers are
/// written on another two. All methods may be called from any thread but those.
class Server {
 public:
  /// Listens. `models` are shared with whoever loads them. Errors: io (port in use, no permission, unknown host; each
  /// names address and port), not_found and invalid_argument (the file of API keys).
  static Result<std::unique_ptr<Server>> start(ServerOptions options, std::shared_ptr<ServedModels> models);

  /// Cancels what still runs and closes every connection.
  virtual ~Server() = default;

  virtual uint16_t port() const = 0;

  /// "http://127.0.0.1:8080", to show and to open.
  virtual std::string url() const = 0;

  /// All that it listens on, for the log: several URLs joined by "and", and whether that is every interface.
  virtual std::string addresses() const = 0;

  /// Reads the file of API keys anew; requests that come from then on need one of the new keys. Without such a file
  /// nothing happens. Errors: those of start, and the keys stay as they were.
  virtual Result<void> reload_keys() = 0;

  /// Stops accepting, lets running requests finish for up to `timeout`, then cancels them and closes every connection.
  /// True if all of them had finished by themselves. Meant to be called once; calling stop_draining from another thread
  /// cuts it short.
  virtual bool drain(std::chrono::milliseconds timeout) = 0;

  /// Makes a running drain cancel at once (the second ctrl-c).
  virtual void stop_draining() = 0;
};

}  // namespace hearth
