#pragma once

#include "server/http/message.h"
#include "server/http/reply.h"

namespace hearth {

/// The line that the log keeps of an answered request: method, path, status, tokens, times and id; never what was said.
std::string access_log_line(const HttpRequest& request, unsigned status, const ReplyStatistics& tokens,
                            std::chrono::duration<double, std::milli> duration);

/// Whether `path` is asked for by machines every few seconds, so that it is worth a line only when debugging.
bool is_probe(std::string_view path);

}  // namespace hearth
