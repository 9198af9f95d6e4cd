#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "server/http/message.h"

namespace hearth {

/// Which web pages may call this server from a browser (Fetch standard, CORS protocol).
class CorsPolicy {
 public:
  CorsPolicy() = default;
  explicit CorsPolicy(std::vector<std::string> origins) : origins_(std::move(origins)) {}

  /// Headers for an answer to a page of `origin`; none when it is empty or not allowed.
  Headers headers(std::string_view origin) const;

  /// Headers for the answer to a preflight, the browser's question before it sends a request.
  Headers preflight_headers(std::string_view origin, std::string_view requested_headers) const;

 private:
  bool allows(std::string_view origin) const;

  std::vector<std::string> origins_;
};

}  // namespace hearth
