#include <boost/asio/buffer.hpp>
#include <cstdint>
#include <string>

#include "base/testing/fuzz_seeds.h"
#include "server/http/request_head.h"

namespace {

/// What became of the bytes of one request, as text.
struct Outcome {
  std::string request;
  std::string refusal;

  bool operator==(const Outcome&) const = default;
};

/// Feeds a parser as a connection does: what it does not take yet is offered again with what comes next.
Outcome parse(std::string_view bytes, size_t piece) {
  const hearth::ServerOptions options{.max_header_bytes = 500, .max_body_bytes = 1000};
  hearth::RequestParser parser;
  parser.header_limit(static_cast<uint32_t>(options.max_header_bytes));
  parser.body_limit(options.max_body_bytes);
  parser.eager(true);
  boost::system::error_code error;
  std::string received;
  for (size_t at = 0; at < bytes.size() && !parser.is_done(); at += piece) {
    received += bytes.substr(at, piece);
    while (!received.empty() && !parser.is_done()) {
      const size_t taken = parser.put(boost::asio::buffer(received), error);
      received.erase(0, taken);
      if (error || taken == 0) break;
    }
    if (error == boost::beast::http::error::need_more) error = {};
    if (error) break;
  }

  Outcome outcome;
  const hearth::HttpRequest request = hearth::request_head(parser);
  if (error) {
    if (const auto answer = hearth::reading_error(error, false, received, options)) outcome.refusal = to_json(*answer);
  } else if (parser.is_header_done()) {
    if (const auto answer = hearth::check_head(parser, request)) outcome.refusal = to_json(*answer);
    outcome.request = request.method + " " + request.path + "\n";
    for (const auto& [name, value] : request.headers) outcome.request += name + ": " + value + "\n";
    outcome.request += parser.is_done() ? "\n" + parser.get().body() : "";
    if (request.path.find('\0') != std::string::npos) __builtin_trap();
    if (parser.get().body().size() > options.max_body_bytes) __builtin_trap();
  }
  const hearth::HttpResponse response{.body = outcome.refusal};
  const std::string answer = hearth::response_bytes(response, {}, hearth::wire_format(parser));
  if (!answer.starts_with("HTTP/1.")) __builtin_trap();
  return outcome;
}

}  // namespace

/// libFuzzer's entry point: any bytes as an HTTP request, whole and in pieces. Only built with HEARTH_FUZZ.
extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view bytes(reinterpret_cast<const char*>(data), size);
  const Outcome whole = parse(bytes, size == 0 ? 1 : size);
  // A limit may be passed by a piece or by the whole; what was understood is the same.
  const Outcome pieces = parse(bytes, size == 0 ? 1 : 1 + data[size - 1] % 7);
  if (whole.refusal.empty() && pieces.refusal.empty() && whole != pieces) __builtin_trap();
  return 0;
}

extern "C" size_t LLVMFuzzerCustomMutator(uint8_t* data, size_t size, size_t most_bytes, unsigned random) {
  static const std::string kSeeds[] = {
      "POST /v1/chat/completions?a=b HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\nExpect: 100-continue\r\n\r\n{}",
      "POST http://x/v1/models/a%2Fb HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n2;a=b\r\n{}\r\n0\r\nT: x"
      "\r\n\r\n",
      "OPTIONS * HTTP/1.1\r\nHost: x\r\nOrigin: http://y\r\nAccess-Control-Request-Method: POST\r\n\r\n",
      "HEAD /health HTTP/1.0\r\nConnection: keep-alive\r\nContent-Encoding: gzip\r\n\r\n"};
  return hearth::testing::seed_or_mutate(kSeeds, data, size, most_bytes, random);
}
