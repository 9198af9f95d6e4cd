#include "server/http/connection.h"

#include <fmt/format.h>
#include <spdlog/spdlog.h>

#include <algorithm>
#include <boost/asio/post.hpp>
#include <boost/beast/http/read.hpp>
#include <exception>
#include <optional>
#include <tuple>
#include <utility>

#include "server/http/access_log.h"
#include "server/http/as_tuple.h"
#include "server/http/read_body.h"
#include "server/http/request_head.h"

namespace hearth {
namespace {

namespace asio = boost::asio;
namespace http = boost::beast::http;
using std::chrono::steady_clock;

/// Requests of up to this size are handled on the I/O thread: some milliseconds of tokenising at most.
constexpr size_t kInlineBodyBytes = 4096;
constexpr size_t kReadBytes = 4096;

/// Bodies of up to this size go out in one piece with their headers, which costs a copy.
constexpr size_t kCopiedBodyBytes = 16 << 10;

/// What may lie in the buffer beyond one request's headers: pipelined requests.
constexpr size_t kPipelinedBytes = 64 << 10;

constexpr std::chrono::milliseconds kLingerTimeout{2000};
constexpr unsigned kClientClosedRequest = 499;  ///< for the log only, as in nginx

WritePace write_pace(const ServerOptions& options) {
  return {.stall_timeout = options.write_timeout, .min_bytes_per_second = options.min_read_bytes_per_second};
}

/// Adds to a counter while it lives.
class Reservation {
 public:
  Reservation(uint64_t& counter, uint64_t amount) : counter_(counter), amount_(amount) { counter_ += amount_; }
  Reservation(const Reservation&) = delete;
  Reservation& operator=(const Reservation&) = delete;
  ~Reservation() { counter_ -= amount_; }

 private:
  uint64_t& counter_;
  const uint64_t amount_;
};

/// Drops empty lines; whether something else stands at the beginning.
bool begins_with_request(boost::beast::flat_buffer& buffer) {
  const auto at = [&](size_t i) { return static_cast<const char*>(buffer.data().data())[i]; };
  while (buffer.size() >= 2 && at(0) == '\r' && at(1) == '\n') buffer.consume(2);
  return buffer.size() > 1 || (buffer.size() == 1 && at(0) != '\r');
}

/// Sets a pointer while it lives.
class Pointing {
 public:
  Pointing(PendingReply*& pointer, PendingReply* target) : pointer_(pointer) { pointer_ = target; }
  Pointing(const Pointing&) = delete;
  Pointing& operator=(const Pointing&) = delete;
  ~Pointing() { pointer_ = nullptr; }

 private:
  PendingReply*& pointer_;
};

}  // namespace

/// One request and how its answer goes.
struct Connection::Exchange {
  RequestParser parser;
  HttpRequest request;
  WireFormat wire;
  Headers extra_headers;
  unsigned status = kClientClosedRequest;
  bool stream_began = false;
  ReplyStatistics statistics;
};

Connection::Connection(asio::ip::tcp::socket socket, ConnectionContext& context)
    : socket_(std::move(socket)),
      context_(context),
      buffer_(context.options.max_header_bytes + kPipelinedBytes),
      signal_(socket_.get().get_executor()) {
  boost::system::error_code gone;
  const auto peer = socket_.get().remote_endpoint(gone);
  if (!gone) address_ = peer.address().to_string();
}

asio::awaitable<void> Connection::run() {
  while (co_await wait_for_request()) {
    const bool keep = co_await serve_request();
    served_before_ = true;
    if (!keep) break;
  }
  if (!closed_) co_await socket_.linger(kLingerTimeout);
  close_now();
}

/// Whether the first byte of a request is there. Empty lines before it are skipped (RFC 9112, 2.2), all within the time
/// of one silence.
asio::awaitable<bool> Connection::wait_for_request() {
  socket_.start_timer(served_before_ ? context_.options.idle_timeout : context_.options.header_timeout);
  boost::system::error_code error;
  while (!begins_with_request(buffer_) && !error && !closed_ && !context_.draining) {
    size_t count = 0;
    std::tie(error, count) = co_await socket_.get().async_read_some(buffer_.prepare(kReadBytes), kTuple);
    buffer_.commit(count);
  }
  socket_.stop_timer();
  co_return begins_with_request(buffer_) && !closed_;
}

/// Whether another request may follow.
asio::awaitable<bool> Connection::serve_request() {
  const ServerOptions& options = context_.options;
  Exchange exchange;
  exchange.parser.header_limit(options.max_header_bytes);
  exchange.parser.body_limit(options.max_body_bytes);
  socket_.start_timer(options.header_timeout);
  const auto [error, count] = co_await http::async_read_header(socket_.get(), buffer_, exchange.parser, kTuple);
  socket_.stop_timer();

  exchange.request = request_head(exchange.parser);
  exchange.request.user = context_.router.user_of(exchange.request, address_).value_or(User{});
  exchange.wire = wire_format(exchange.parser);
  exchange.extra_headers = context_.router.cors_headers(exchange.request.header("Origin"));
  exchange.extra_headers.emplace_back("x-request-id", exchange.request.id);
  std::optional<ApiError> unreadable;
  if (error) {
    const std::string_view unread(static_cast<const char*>(buffer_.data().data()), buffer_.size());
    unreadable = reading_error(error, socket_.timed_out(), unread, options);
    if (!unreadable) co_return false;
  }

  busy_ = true;
  const Reservation busy(context_.busy_connections, 1);
  bool keep = false;
  if (unreadable) {
    exchange.wire.keep_alive = false;
    co_await send_response(exchange, to_response(*unreadable));
  } else {
    keep = co_await read_body_and_answer(exchange);
  }
  busy_ = false;
  log(exchange);
  co_return keep&& exchange.wire.keep_alive && !context_.draining;
}

/// The answer to a request whose body is not wanted.
std::optional<HttpResponse> Connection::answer_early(Exchange& exchange) const {
  if (const auto error = check_head(exchange.parser, exchange.request)) {
    exchange.wire.keep_alive = false;
    return to_response(*error);
  }
  if (auto early = context_.router.answer_early(exchange.request)) return early;
  // Of a body in chunks nothing is known before it is read.
  const uint64_t declared_bytes = exchange.parser.content_length().value_or(0);
  if (!context_.bodies.has_room(declared_bytes)) return to_response(too_many_bodies());
  return std::nullopt;
}

/// Whether the answer went out.
asio::awaitable<bool> Connection::read_body_and_answer(Exchange& exchange) {
  if (const auto early = answer_early(exchange)) {
    // The body is not wanted, so where the next request begins is not known.
    if (!exchange.parser.is_done()) exchange.wire.keep_alive = false;
    co_return co_await send_response(exchange, *early);
  }
  std::optional<Reply> reply = co_await read_body_and_handle(exchange);
  if (!reply) co_return false;
  if (auto* response = std::get_if<HttpResponse>(&*reply)) co_return co_await send_response(exchange, *response);

  PendingReply& pending = *std::get<std::unique_ptr<PendingReply>>(*reply);
  const Pointing pointing(reply_, &pending);
  watch_peer();
  const bool sent = co_await send_pending(exchange, pending);
  exchange.statistics = pending.statistics();
  co_await stop_watching_peer();
  co_return sent;
}

/// What the handler says, or why it was not asked; nothing where nobody is there to read it. The body and its share of
/// the budget are gone afterwards, however long the answer takes.
asio::awaitable<std::optional<Reply>> Connection::read_body_and_handle(Exchange& exchange) {
  const ServerOptions& options = context_.options;
  BodyShare share(context_.bodies);
  if (!exchange.parser.is_done()) {
    const bool expects_continue = !exchange.request.header("Expect").empty() && exchange.wire.minor_version > 0;
    if (expects_continue) {
      const bool sent = co_await socket_.write("HTTP/1.1 100 Continue\r\n\r\n", write_pace(options));
      if (!sent) co_return std::nullopt;
    }
    const auto read = co_await read_body(socket_, buffer_, exchange.parser, share, options);
    if (!read) {
      exchange.wire.keep_alive = false;
      exchange.parser.get().body() = {};
      if (!read.error()) co_return std::nullopt;
      co_return to_response(*read.error());
    }
  }
  exchange.request.body = std::move(exchange.parser.get().body());
  Reply reply = co_await handle(exchange.request);
  exchange.request.body = {};
  co_return reply;
}

/// What `f` returns, or throws, on a thread of `pool`; this coroutine waits, others go on.
template <class F>
asio::awaitable<std::invoke_result_t<F>> Connection::run_on(asio::thread_pool& pool, F f) {
  std::optional<std::invoke_result_t<F>> result;
  std::exception_ptr failure;
  bool done = false;
  asio::post(pool, [&] {
    try {
      result = f();
    } catch (...) {
      failure = std::current_exception();
    }
    asio::post(socket_.get().get_executor(), [&] {
      done = true;
      wake();
    });
  });
  while (!done) co_await signal_.wait(steady_clock::time_point::max());
  if (failure) std::rethrow_exception(failure);
  co_return *std::move(result);
}

asio::awaitable<Reply> Connection::handle(const HttpRequest& request) {
  if (request.body.size() <= kInlineBodyBytes) co_return context_.router.answer(request);
  co_return co_await run_on(context_.workers, [&] { return context_.router.answer(request); });
}

asio::awaitable<ReplyPart> Connection::next_part(const Exchange& exchange, PendingReply& reply) {
  if (aborting_) co_return reply.abandon({ErrorCode::cancelled, "The server is stopping"});
  const std::chrono::milliseconds limit = context_.options.request_timeout;
  if (limit.count() > 0 && steady_clock::now() >= exchange.request.received + limit) {
    co_return reply.abandon({ErrorCode::timed_out, fmt::format("The answer took longer than {} s",
                                                               std::chrono::duration<double>(limit).count())});
  }
  if (!reply.take_is_long()) co_return reply.take();
  ReplyPart part = co_await run_on(context_.formatters, [&] { return reply.take(); });
  // What woke the connection meanwhile was taken for the end of that.
  signal_.wake();
  co_return part;
}

asio::awaitable<bool> Connection::send_pending(Exchange& exchange, PendingReply& reply) {
  const ServerOptions& options = context_.options;
  reply.start(
      [self = shared_from_this()] { asio::post(self->socket_.get().get_executor(), [self] { self->wake(); }); });
  const auto deadline = options.request_timeout.count() > 0 ? exchange.request.received + options.request_timeout
                                                            : steady_clock::time_point::max();
  auto last_sent = steady_clock::now();
  while (!peer_gone_ && !closed_ && !reply.is_overflowing()) {
    ReplyPart part = co_await next_part(exchange, reply);
    if (part.response && !exchange.stream_began) co_return co_await send_response(exchange, *part.response);
    if (part.response) {
      // Too late for a status: the error goes out as an event, and the status into the log.
      exchange.status = part.response->status;
      part.events = fmt::format("data: {}\n\n", part.response->body);
      part.end = true;
    }
    const auto comment_due = reply.is_event_stream() ? last_sent + options.keep_alive_interval : deadline;
    if (part.events.empty() && !part.end && reply.is_event_stream() && steady_clock::now() >= comment_due) {
      part.events = ": keep-alive\n\n";
    }
    if (part.events.empty() && !part.end) {
      const auto news_due = std::min(deadline, reply.wakes_at().value_or(deadline));
      co_await signal_.wait(std::min(news_due, comment_due));
      continue;
    }
    const bool sent = co_await send_events(exchange, part.events, part.end);
    if (sent && part.end) co_return true;
    if (!sent) break;
    last_sent = steady_clock::now();
  }
  give_up(exchange);
  co_return false;
}

/// Nobody reads any more, or not fast enough: what is still in the system's buffers is worth nothing.
void Connection::give_up(Exchange& exchange) {
  exchange.status = kClientClosedRequest;
  closed_ = true;
  socket_.reset();
}

asio::awaitable<bool> Connection::send_events(Exchange& exchange, std::string_view events, bool end) {
  std::string bytes;
  if (!exchange.stream_began) {
    exchange.stream_began = true;
    exchange.status = 200;
    exchange.wire.keep_alive = exchange.wire.keep_alive && exchange.wire.minor_version > 0 && !context_.draining;
    bytes = event_stream_head(exchange.extra_headers, exchange.wire);
  }
  bytes += stream_chunk(events, exchange.wire);
  if (end) bytes += stream_end(exchange.wire);
  co_return co_await socket_.write(bytes, write_pace(context_.options));
}

asio::awaitable<bool> Connection::send_response(Exchange& exchange, const HttpResponse& response) {
  exchange.status = response.status;
  if (context_.draining) exchange.wire.keep_alive = false;
  const WritePace pace = write_pace(context_.options);
  bool sent = false;
  if (response.body.size() <= kCopiedBodyBytes) {
    sent = co_await socket_.write(response_bytes(response, exchange.extra_headers, exchange.wire), pace);
  } else {
    sent = co_await socket_.write(response_head(response, exchange.extra_headers, exchange.wire), pace) &&
           co_await socket_.write(response_body(response, exchange.wire), pace);
  }
  if (!sent) give_up(exchange);
  co_return sent;
}

void Connection::wake() {
  signal_.wake();
  // The coroutine may be inside a write that the reader lets hang.
  if (reply_ != nullptr && reply_->is_overflowing() && !closed_) {
    closed_ = true;
    socket_.reset();
  }
}

void Connection::watch_peer() {
  if (watching_peer_ || peer_gone_ || closed_ || buffer_.max_size() - buffer_.size() < kReadBytes) return;
  watching_peer_ = true;
  socket_.get().async_read_some(buffer_.prepare(kReadBytes),
                                [self = shared_from_this()](boost::system::error_code error, size_t count) {
                                  self->watching_peer_ = false;
                                  if (!error) {
                                    self->buffer_.commit(count);
                                    self->watch_peer();
                                  } else if (error != asio::error::operation_aborted) {
                                    self->peer_gone_ = true;
                                  }
                                  self->wake();
                                });
}

asio::awaitable<void> Connection::stop_watching_peer() {
  boost::system::error_code ignored;
  while (watching_peer_) {
    // Cancelling loses no bytes: a read that has them completes, one that is cancelled has none. One that completes
    // starts the next, which is then cancelled.
    socket_.get().cancel(ignored);
    co_await signal_.wait(steady_clock::time_point::max());
  }
}

void Connection::drain() {
  if (!busy_) close_now();
}

void Connection::abort() {
  aborting_ = true;
  wake();
}

void Connection::close_now() {
  closed_ = true;
  socket_.close();
  wake();
}

void Connection::log(const Exchange& exchange) const {
  const HttpRequest& request = exchange.request;
  context_.counters.count(context_.router.route_name(request), exchange.status);
  if (!context_.options.log_requests) return;
  spdlog::log(is_probe(request.path) ? spdlog::level::debug : spdlog::level::info, "{}",
              access_log_line(request, exchange.status, exchange.statistics, steady_clock::now() - request.received));
}

}  // namespace hearth
