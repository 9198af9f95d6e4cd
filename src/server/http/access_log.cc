#include "server/http/access_log.h"

#include <fmt/format.h>

#include "base/printable.h"

namespace hearth {

std::string access_log_line(const HttpRequest& request, unsigned status, const ReplyStatistics& tokens,
                            std::chrono::duration<double, std::milli> duration) {
  std::string line = fmt::format("{} {} {} {:.1f} ms", printable(request.method, 16), printable(request.path, 80),
                                 status, duration.count());
  if (tokens.prompt_tokens > 0) {
    line += fmt::format(", prompt {} ({} cached), generated {}", tokens.prompt_tokens, tokens.cached_tokens,
                        tokens.completion_tokens);
  }
  if (tokens.time_to_first_token) line += fmt::format(", first token {} ms", tokens.time_to_first_token->count());
  return line + ", id " + request.id;
}

bool is_probe(std::string_view path) { return path == "/health" || path == "/ping" || path == "/metrics"; }

}  // namespace hearth
