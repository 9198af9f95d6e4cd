#pragma once

#include <boost/asio/awaitable.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <expected>
#include <optional>

#include "server/api_error.h"
#include "server/http/body_budget.h"
#include "server/http/request_head.h"
#include "server/http/timed_socket.h"
#include "server/server_options.h"

namespace hearth {

/// 503: others hold too much.
ApiError too_many_bodies();

/// Reads the body that follows the headers, within body_timeout in all, however it trickles, and counts in `share` what
/// has arrived. The error is what to answer before the connection is closed; nothing where nobody is left to read it.
boost::asio::awaitable<std::expected<void, std::optional<ApiError>>> read_body(TimedSocket& socket,
                                                                               boost::beast::flat_buffer& buffer,
                                                                               RequestParser& parser, BodyShare& share,
                                                                               const ServerOptions& options);

}  // namespace hearth
