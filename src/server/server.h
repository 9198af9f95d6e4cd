#pragma once

#include <chrono>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "base/result.h"
#include "server/served_model.h"

namespace hearth {

/// Every limit has a default that suits a small machine; none is unlimited unless it says so.
struct ServerOptions {
  std::string host = "127.0.0.1";  ///< address or name to listen on; "0.0.0.0" or "::" is every interface
  uint16_t port = 8080;            ///< 0 lets the system choose; Server::port() says which

  std::filesystem::path api_key_file;     ///< one key a line, '#' comments; empty: no key is asked for
  std::vector<std::string> cors_origins;  ///< "https://chat.example"; "*" is any; empty: no CORS headers

  uint32_t max_connections = 1024;                   ///< beyond, a connection is answered 503 and closed
  uint32_t max_header_bytes = 16 << 10;              ///< request line and headers; beyond, 431
  uint64_t max_body_bytes = 16 << 20;                ///< beyond, 413
  uint64_t max_unsent_bytes = 1 << 20;               ///< of a stream whose reader is slow; beyond, cancelled and closed
  uint32_t max_choices = 128;                        ///< prompts times n of one request
  std::chrono::milliseconds header_timeout{10'000};  ///< from the first byte of a request to the end of its headers
  std::chrono::milliseconds body_timeout{60'000};    ///< from there to the end of its body
  std::chrono::milliseconds idle_timeout{75'000};    ///< between two requests of a connection
  std::chrono::milliseconds write_timeout{30'000};   ///< a reader that takes nothing for so long is dropped
  std::chrono::milliseconds request_timeout{600'000};     ///< from the request to the end of its answer; 0 is no limit
  std::chrono::milliseconds keep_alive_interval{10'000};  ///< of comment lines in a stream that waits for tokens

  bool log_requests = true;  ///< one line each at level info; never what is in them
};

/// The HTTP server: listens from start() on, whatever the state of the model, and answers as docs/api.md says.
///
/// One thread does all input and output; templates and tokenising of long prompts run on two more. All methods may be
/// called from any thread but those.
class Server {
 public:
  /// Listens. `model` is shared with whoever loads it; the engine, tokenizer and template in it must outlive the
  /// server. Errors: io (port in use, no permission, unknown host; each names address and port), not_found and
  /// invalid_argument (the file of API keys).
  static Result<std::unique_ptr<Server>> start(ServerOptions options, std::shared_ptr<ServedModel> model);

  /// Cancels what still runs and closes every connection.
  virtual ~Server() = default;

  virtual uint16_t port() const = 0;

  /// "http://127.0.0.1:8080", to show and to open.
  virtual std::string url() const = 0;

  /// Stops accepting, lets running requests finish for up to `timeout`, then cancels them and closes every connection.
  /// True if all of them had finished by themselves. For SIGTERM: block it before anything starts a thread, sigwait in
  /// main, then drain. Meant to be called once; calling stop_draining from another thread cuts it short.
  virtual bool drain(std::chrono::milliseconds timeout) = 0;

  /// Makes a running drain cancel at once (the second ctrl-c).
  virtual void stop_draining() = 0;
};

}  // namespace hearth
