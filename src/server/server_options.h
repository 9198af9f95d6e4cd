#pragma once

#include <chrono>
#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

namespace hearth {

/// Every limit has a default that suits a small machine; none is unlimited unless it says so.
struct ServerOptions {
  std::string host =
      "127.0.0.1";       ///< address or name; "0.0.0.0" is every IPv4 interface; "::", "*" and "" are every one
  uint16_t port = 8080;  ///< 0 lets the system choose; Server::port() says which

  std::filesystem::path api_key_file;     ///< one key a line, '#' comments; empty: no key is asked for
  std::vector<std::string> cors_origins;  ///< "https://chat.example"; "*" is any; empty: no CORS headers

  uint32_t max_connections = 1024;       ///< beyond, a connection is answered 503 and closed
  uint32_t max_header_bytes = 16 << 10;  ///< request line and headers; beyond, 431
  uint64_t max_body_bytes = 8 << 20;     ///< of one request; beyond, 413
  /// Of all requests being read, as far as they have arrived; beyond, 503. Small bodies (64 KiB with these defaults)
  /// are always read; all of them together come to half of this beyond it.
  uint64_t max_buffered_body_bytes = 128 << 20;
  uint64_t max_unsent_bytes = 1 << 20;  ///< of a stream whose reader is slow; beyond, cancelled and closed
  uint32_t max_choices = 128;           ///< prompts times n of one request

  std::chrono::milliseconds header_timeout{10'000};       ///< from the first byte of a request to its headers' end
  std::chrono::milliseconds body_timeout{60'000};         ///< from there to the end of its body
  std::chrono::milliseconds idle_timeout{75'000};         ///< between two requests of a connection
  std::chrono::milliseconds write_timeout{30'000};        ///< a reader that takes nothing for so long is dropped
  uint32_t min_read_bytes_per_second = 16 << 10;          ///< and one that takes less, after the first write_timeout
  std::chrono::milliseconds request_timeout{600'000};     ///< from a request to the end of its answer; 0: no limit
  std::chrono::milliseconds load_wait{300'000};           ///< of a request for a model that is being loaded
  std::chrono::milliseconds keep_alive_interval{10'000};  ///< of comment lines in a stream that waits for tokens

  bool log_requests = true;  ///< one line each at level info; never what is in them
};

}  // namespace hearth
