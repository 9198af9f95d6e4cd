#include "server/http/read_body.h"

#include <boost/beast/http/read.hpp>

#include "server/http/as_tuple.h"

namespace hearth {
namespace {

namespace http = boost::beast::http;

/// What chunks of a single byte need around them, with room for extensions that somebody really uses.
constexpr uint64_t kFramingPerByte = 8;

/// Sizes, extensions and trailers of chunks are read and dropped, so they have no other limit than this.
bool is_mostly_framing(uint64_t wire_bytes, uint64_t body_bytes, const ServerOptions& options) {
  return wire_bytes - body_bytes > options.max_header_bytes + kFramingPerByte * body_bytes;
}

ApiError bad_chunks() {
  return {.status = 400, .message = "The body's chunks have too much around them: sizes, extensions or trailers"};
}

std::optional<ApiError> body_error(boost::system::error_code error, bool timed_out, const ServerOptions& options) {
  // The buffer is full of one chunk's size and extensions, or of trailers.
  if (!timed_out && (error == http::error::buffer_overflow || error == http::error::header_limit)) return bad_chunks();
  return reading_error(error, timed_out, "", options);
}

}  // namespace

ApiError too_many_bodies() {
  return {.status = 503,
          .message = "Too many large requests are being read",
          .type = "server_error",
          .code = "overloaded",
          .retry_after_seconds = 1};
}

boost::asio::awaitable<std::expected<void, std::optional<ApiError>>> read_body(TimedSocket& socket,
                                                                               boost::beast::flat_buffer& buffer,
                                                                               RequestParser& parser, BodyShare& share,
                                                                               const ServerOptions& options) {
  parser.eager(true);
  socket.start_timer(options.body_timeout);
  std::optional<std::optional<ApiError>> failure;
  for (uint64_t wire_bytes = 0; !failure && !parser.is_done();) {
    const auto [error, count] = co_await http::async_read_some(socket.get(), buffer, parser, kTuple);
    wire_bytes += count;
    const uint64_t body_bytes = parser.get().body().size();
    if (!share.grow(body_bytes)) {
      failure = too_many_bodies();
    } else if (error) {
      failure = body_error(error, socket.timed_out(), options);
    } else if (is_mostly_framing(wire_bytes, body_bytes, options)) {
      failure = bad_chunks();
    }
  }
  socket.stop_timer();
  if (failure) co_return std::unexpected(*std::move(failure));
  co_return std::expected<void, std::optional<ApiError>>();
}

}  // namespace hearth
