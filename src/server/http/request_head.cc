#include "server/http/request_head.h"

#include <fmt/format.h>

#include <boost/beast/core/string.hpp>
#include <boost/beast/http/error.hpp>

#include "server/random_id.h"

namespace hearth {
namespace {

namespace http = boost::beast::http;

std::string_view to_view(boost::beast::string_view text) { return {text.data(), text.size()}; }

}  // namespace

HttpRequest request_head(const RequestParser& parser) {
  const auto& head = parser.get();
  HttpRequest request{.id = random_id(), .method = std::string(to_view(head.method_string()))};
  request.path = target_path(to_view(head.target()));
  for (const auto& field : head) request.headers.emplace_back(to_view(field.name_string()), to_view(field.value()));
  request.received = std::chrono::steady_clock::now();
  return request;
}

WireFormat wire_format(const RequestParser& parser) {
  return {.minor_version = parser.get().version() == 10 ? 0U : 1U,
          .keep_alive = parser.is_header_done() && parser.keep_alive(),
          .head_only = parser.get().method() == http::verb::head};
}

std::optional<ApiError> check_head(const RequestParser& parser, const HttpRequest& request) {
  const auto& head = parser.get();
  if (request.path.empty()) return ApiError{.status = 400, .message = "The request's path is malformed"};
  if (head.version() > 11) return ApiError{.status = 505, .message = "Only HTTP/1.0 and HTTP/1.1 are spoken here"};
  if (head.version() == 11 && head.count(http::field::host) != 1) {
    return ApiError{.status = 400, .message = "HTTP/1.1 needs exactly one Host header"};
  }
  if (head.count(http::field::transfer_encoding) > 0 && !parser.chunked()) {
    return ApiError{.status = 501, .message = "Transfer-Encoding other than chunked is not supported"};
  }
  const std::string_view encoding = request.header("Content-Encoding");
  if (!encoding.empty() && encoding != "identity") {
    return ApiError{.status = 415, .message = "Compressed request bodies are not supported; send the body as it is"};
  }
  const std::string_view expect = request.header("Expect");
  if (!expect.empty() && !boost::beast::iequals({expect.data(), expect.size()}, "100-continue")) {
    return ApiError{.status = 417, .message = "The only expectation that is met here is 100-continue"};
  }
  return std::nullopt;
}

std::optional<ApiError> reading_error(boost::system::error_code error, bool timed_out, const ServerOptions& options) {
  if (timed_out) {
    return ApiError{.status = 408, .message = "The request did not arrive in time", .code = "request_timeout"};
  }
  if (error.category() != http::make_error_code(http::error::bad_method).category()) return std::nullopt;
  switch (static_cast<http::error>(error.value())) {
    case http::error::end_of_stream:
    case http::error::partial_message:
      return std::nullopt;
    case http::error::header_limit:
    case http::error::buffer_overflow:
      return ApiError{
          .status = 431,
          .message = fmt::format("The request's headers are longer than {} bytes", options.max_header_bytes)};
    case http::error::body_limit:
      return ApiError{.status = 413,
                      .message = fmt::format("The request's body is longer than {} bytes", options.max_body_bytes)};
    default:
      return ApiError{.status = 400, .message = fmt::format("Not HTTP as it should be: {}", error.message())};
  }
}

}  // namespace hearth
