#pragma once

#include <string>
#include <string_view>

#include "server/http/message.h"

namespace hearth {

/// How an answer goes onto the wire, which depends on the request that it answers.
struct WireFormat {
  unsigned minor_version = 1;  ///< 0 for HTTP/1.0
  bool keep_alive = true;
  bool head_only = false;  ///< the request was HEAD: headers as for GET, no body
};

/// A whole response as bytes: status line, headers with date and length, body. `extra` come after its own headers, but
/// for those that it has itself: no header stands twice, which browsers take for a broken answer.
std::string response_bytes(const HttpResponse& response, const Headers& extra, const WireFormat& format);

/// The two parts of it.
std::string response_head(const HttpResponse& response, const Headers& extra, const WireFormat& format);
std::string_view response_body(const HttpResponse& response, const WireFormat& format);

/// The start of an event stream: headers that keep proxies from collecting it. Chunked for HTTP/1.1; HTTP/1.0 has no
/// chunks, so there the stream ends with the connection.
std::string event_stream_head(const Headers& extra, const WireFormat& format);

/// `bytes` of a stream as the format wants them; empty bytes are no chunk.
std::string stream_chunk(std::string_view bytes, const WireFormat& format);

/// What ends a stream.
std::string_view stream_end(const WireFormat& format);

}  // namespace hearth
