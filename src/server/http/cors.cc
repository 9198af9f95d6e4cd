#include "server/http/cors.h"

#include <algorithm>

namespace hearth {

bool CorsPolicy::allows(std::string_view origin) const {
  return !origin.empty() &&
         std::ranges::any_of(origins_, [&](const std::string& allowed) { return allowed == "*" || allowed == origin; });
}

Headers CorsPolicy::headers(std::string_view origin) const {
  if (origins_.empty()) return {};
  // Also without the header that allows: a cache must not hand one origin's answer to another.
  Headers headers = {{"Vary", "Origin"}};
  if (allows(origin)) {
    headers.emplace_back("Access-Control-Allow-Origin", origin);
    headers.emplace_back("Access-Control-Expose-Headers", "x-request-id, Retry-After");
  }
  return headers;
}

Headers CorsPolicy::preflight_headers(std::string_view origin, std::string_view requested_headers) const {
  Headers answer = headers(origin);
  if (allows(origin)) {
    answer.emplace_back("Access-Control-Allow-Methods", "GET, POST, OPTIONS");
    answer.emplace_back("Access-Control-Allow-Headers",
                        requested_headers.empty() ? "Authorization, Content-Type" : requested_headers);
    answer.emplace_back("Access-Control-Max-Age", "86400");
  }
  return answer;
}

}  // namespace hearth
