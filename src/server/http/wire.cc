#include "server/http/wire.h"

#include <fmt/chrono.h>
#include <fmt/format.h>

#include <boost/beast/http/status.hpp>
#include <ctime>
#include <iterator>

namespace hearth {
namespace {

std::string start_of_head(unsigned status, const WireFormat& format) {
  const std::string_view reason = boost::beast::http::obsolete_reason(boost::beast::http::int_to_status(status));
  return fmt::format("HTTP/1.{} {} {}\r\nServer: hearth\r\nDate: {:%a, %d %b %Y %H:%M:%S} GMT\r\n",
                     format.minor_version, status, reason, fmt::gmtime(std::time(nullptr)));
}

void append_headers(std::string& head, const Headers& headers) {
  for (const auto& [name, value] : headers) fmt::format_to(std::back_inserter(head), "{}: {}\r\n", name, value);
}

void append_connection(std::string& head, const WireFormat& format) {
  if (!format.keep_alive) head += "Connection: close\r\n";
  if (format.keep_alive && format.minor_version == 0) head += "Connection: keep-alive\r\n";
}

}  // namespace

std::string response_head(const HttpResponse& response, const Headers& extra, const WireFormat& format) {
  std::string bytes = start_of_head(response.status, format);
  if (!response.content_type.empty()) append_headers(bytes, {{"Content-Type", response.content_type}});
  append_headers(bytes, response.headers);
  for (const auto& header : extra) {
    if (!has_header(response.headers, header.first)) append_headers(bytes, {header});
  }
  append_connection(bytes, format);
  if (response.status != 204) append_headers(bytes, {{"Content-Length", std::to_string(response.body.size())}});
  return bytes + "\r\n";
}

std::string_view response_body(const HttpResponse& response, const WireFormat& format) {
  return format.head_only || response.status == 204 ? std::string_view() : response.body;
}

std::string response_bytes(const HttpResponse& response, const Headers& extra, const WireFormat& format) {
  return response_head(response, extra, format).append(response_body(response, format));
}

std::string event_stream_head(const Headers& extra, const WireFormat& format) {
  std::string head = start_of_head(200, format);
  append_headers(head, {{"Content-Type", "text/event-stream; charset=utf-8"},
                        {"Cache-Control", "no-cache"},
                        {"X-Accel-Buffering", "no"}});
  append_headers(head, extra);
  append_connection(head, format);
  if (format.minor_version > 0) head += "Transfer-Encoding: chunked\r\n";
  return head + "\r\n";
}

std::string stream_chunk(std::string_view bytes, const WireFormat& format) {
  if (format.minor_version == 0 || bytes.empty()) return std::string(bytes);
  return fmt::format("{:x}\r\n{}\r\n", bytes.size(), bytes);
}

std::string_view stream_end(const WireFormat& format) { return format.minor_version == 0 ? "" : "0\r\n\r\n"; }

}  // namespace hearth
