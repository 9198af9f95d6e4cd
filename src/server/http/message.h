#pragma once

#include <chrono>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "engine/request.h"

namespace hearth {

using Headers = std::vector<std::pair<std::string, std::string>>;

/// As names in HTTP are compared: ASCII letters of either case are equal.
bool equal_ignoring_case(std::string_view a, std::string_view b);

/// The value of the first header called `name` (letters of either case), or an empty text.
std::string_view find_header(const Headers& headers, std::string_view name);

bool has_header(const Headers& headers, std::string_view name);

/// A request as the handlers see it, free of sockets and of the HTTP library.
struct HttpRequest {
  std::string id;      ///< made here; in the log and in the header x-request-id
  std::string method;  ///< "GET"
  std::string path;    ///< percent-decoded, without the query
  Headers headers;
  std::string body;
  std::chrono::steady_clock::time_point received;
  User user;  ///< whose key it came with; without keys, who comes from its address

  std::string_view header(std::string_view name) const { return find_header(headers, name); }
};

/// A whole answer. Length, date, connection and CORS headers are added where it is sent.
struct HttpResponse {
  unsigned status = 200;
  std::string content_type = "application/json";
  Headers headers{};
  std::string body{};
};

/// The path of a request target ("/v1/models/a%2Fb?x=1", "http://host/path", "*"; RFC 9112, 3.2), percent-decoded,
/// without the query and without a slash at its end; empty when it is malformed or holds a NUL.
std::string target_path(std::string_view target);

}  // namespace hearth
