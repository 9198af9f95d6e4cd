#pragma once

#include <boost/beast/http/parser.hpp>
#include <boost/system/error_code.hpp>
#include <optional>
#include <string_view>

#include "server/api_error.h"
#include "server/http/message.h"
#include "server/http/received_body.h"
#include "server/http/wire.h"
#include "server/server_options.h"

namespace hearth {

using RequestParser = boost::beast::http::request_parser<ReceivedBody>;

/// The request whose headers were parsed, or as much as was understood before an error.
HttpRequest request_head(const RequestParser& parser);

/// How it wants to be answered.
WireFormat wire_format(const RequestParser& parser);

/// What is wrong with headers that were parsed, so that no handler shall see them.
std::optional<ApiError> check_head(const RequestParser& parser, const HttpRequest& request);

/// How to answer when reading a request ended with `error`; nothing when there is nobody to answer. `unread` is what
/// was received and not understood.
std::optional<ApiError> reading_error(boost::system::error_code error, bool timed_out, std::string_view unread,
                                      const ServerOptions& options);

}  // namespace hearth
