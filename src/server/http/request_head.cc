#include "server/http/request_head.h"

#include <fmt/format.h>

#include <algorithm>
#include <boost/beast/http/error.hpp>
#include <cctype>
#include <string_view>
#include <vector>

#include "server/random_id.h"

namespace hearth {
namespace {

namespace http = boost::beast::http;

std::string_view trimmed(std::string_view text) {
  const size_t first = text.find_first_not_of(" \t");
  if (first == text.npos) return {};
  return text.substr(first, text.find_last_not_of(" \t") - first + 1);
}

std::string_view to_view(boost::beast::string_view text) { return {text.data(), text.size()}; }

/// All that the Transfer-Encoding headers name, in order.
std::vector<std::string_view> transfer_codings(const RequestParser& parser) {
  std::vector<std::string_view> codings;
  const auto [first, last] = parser.get().equal_range(http::field::transfer_encoding);
  for (auto field = first; field != last; ++field) {
    std::string_view list = to_view(field->value());
    while (!list.empty()) {
      const size_t end = std::min(list.find(','), list.size());
      const std::string_view coding = trimmed(list.substr(0, end));
      if (!coding.empty()) codings.push_back(coding);
      list.remove_prefix(std::min(end + 1, list.size()));
    }
  }
  return codings;
}

/// RFC 9112, 6.1 and 6.3: bodies come in chunks or with a length. Where chunks are not the outermost coding, nobody can
/// tell where the body ends.
std::optional<ApiError> check_transfer_encoding(const RequestParser& parser) {
  if (parser.get().count(http::field::transfer_encoding) == 0) return std::nullopt;
  if (parser.get().version() < 11) return ApiError{.status = 400, .message = "HTTP/1.0 has no Transfer-Encoding"};
  const std::vector<std::string_view> codings = transfer_codings(parser);
  const auto is_chunked = [](std::string_view coding) { return equal_ignoring_case(coding, "chunked"); };
  if (codings.end() - std::ranges::find_if(codings, is_chunked) != 1) {
    return ApiError{.status = 400, .message = "In Transfer-Encoding, chunked must come once and last"};
  }
  if (codings.size() != 1 || !parser.chunked()) {
    return ApiError{.status = 501, .message = "Transfer-Encoding other than chunked is not supported"};
  }
  return std::nullopt;
}

/// A name or an address with a port (RFC 9112, 3.2); may be empty.
bool is_host(std::string_view host) {
  return std::ranges::all_of(host, [](unsigned char c) {
    return std::isalnum(c) != 0 || std::string_view("-._~%!$&'()*+,;=:[]").contains(static_cast<char>(c));
  });
}

std::optional<ApiError> check_target_and_host(const RequestParser& parser, const HttpRequest& request) {
  const auto& head = parser.get();
  if (head.method() == http::verb::connect) return ApiError{.status = 501, .message = "This server is no proxy"};
  const bool asks_for_all = request.path == "*";
  if (request.path.empty() || (asks_for_all && head.method() != http::verb::options)) {
    return ApiError{.status = 400, .message = "The request's path is malformed"};
  }
  const size_t hosts = head.count(http::field::host);
  if (hosts > 1 || (hosts == 0 && head.version() == 11)) {
    return ApiError{.status = 400, .message = "HTTP/1.1 needs exactly one Host header"};
  }
  if (!is_host(request.header("Host"))) return ApiError{.status = 400, .message = "The Host header names no host"};
  return std::nullopt;
}

/// Whether the request line is whole and ends with a version of HTTP that is not ours.
bool names_other_version(std::string_view unread) {
  const std::string_view line = unread.substr(0, unread.find("\r\n"));
  const std::string_view version = line.substr(line.rfind(' ') + 1);
  const auto digit = [&](size_t i) { return std::isdigit(static_cast<unsigned char>(version[i])) != 0; };
  return line.size() < unread.size() && version.size() == 8 && version.starts_with("HTTP/") && digit(5) &&
         version[6] == '.' && digit(7) && version != "HTTP/1.1" && version != "HTTP/1.0";
}

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
  // Before anything else: what follows a request whose end is not known must not be read as the next one.
  if (auto error = check_transfer_encoding(parser)) return error;
  if (auto error = check_target_and_host(parser, request)) return error;
  const std::string_view encoding = request.header("Content-Encoding");
  if (!encoding.empty() && !equal_ignoring_case(encoding, "identity")) {
    return ApiError{.status = 415, .message = "Compressed request bodies are not supported; send the body as it is"};
  }
  const std::string_view expect = request.header("Expect");
  if (!expect.empty() && !equal_ignoring_case(expect, "100-continue")) {
    return ApiError{.status = 417, .message = "The only expectation that is met here is 100-continue"};
  }
  return std::nullopt;
}

std::optional<ApiError> reading_error(boost::system::error_code error, bool timed_out, std::string_view unread,
                                      const ServerOptions& options) {
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
      if (error == http::error::bad_version && names_other_version(unread)) {
        return ApiError{.status = 505, .message = "Only HTTP/1.0 and HTTP/1.1 are spoken here"};
      }
      return ApiError{.status = 400, .message = fmt::format("Not HTTP as it should be: {}", error.message())};
  }
}

}  // namespace hearth
