#pragma once

#include <boost/asio/awaitable.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/thread_pool.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <string_view>
#include <type_traits>

#include "server/http/body_budget.h"
#include "server/http/reply.h"
#include "server/http/request_counters.h"
#include "server/http/router.h"
#include "server/http/timed_socket.h"
#include "server/http/wake_signal.h"
#include "server/server_options.h"

namespace hearth {

/// What all connections of a server share. The members that change do so on the I/O thread.
struct ConnectionContext {
  boost::asio::thread_pool& workers;     ///< for handlers of large requests
  boost::asio::thread_pool& formatters;  ///< for answers that are long to write
  const Router& router;
  const ServerOptions& options;
  RequestCounters& counters;
  BodyBudget bodies{options};     ///< of requests that are being read or parsed
  uint64_t busy_connections = 0;  ///< that have read a request's headers and not yet sent all of the answer
  bool draining = false;          ///< answers close their connection
};

/// One client: reads requests and has them answered, one after the other, until either side closes. While an answer is
/// being made it keeps reading, so that it notices when the client goes away. Lives on the I/O thread; kept alive by
/// the coroutine that runs run().
class Connection : public std::enable_shared_from_this<Connection> {
 public:
  Connection(boost::asio::ip::tcp::socket socket, ConnectionContext& context);

  /// The life of the connection.
  boost::asio::awaitable<void> run();

  /// Closes now if no request is being answered, else after the answer.
  void drain();

  /// Ends the answer that is being made, with an error that says that the server stops; then closes.
  void abort();

  /// Drops the connection; run() ends soon.
  void close_now();

 private:
  struct Exchange;

  boost::asio::awaitable<bool> wait_for_request();
  boost::asio::awaitable<bool> serve_request();
  boost::asio::awaitable<bool> read_body_and_answer(Exchange& exchange);
  std::optional<HttpResponse> answer_early(Exchange& exchange) const;
  boost::asio::awaitable<std::optional<Reply>> read_body_and_handle(Exchange& exchange);
  boost::asio::awaitable<Reply> handle(const HttpRequest& request);
  boost::asio::awaitable<bool> send_pending(Exchange& exchange, PendingReply& reply);
  boost::asio::awaitable<bool> send_events(Exchange& exchange, std::string_view events, bool end);
  boost::asio::awaitable<bool> send_response(Exchange& exchange, const HttpResponse& response);
  boost::asio::awaitable<ReplyPart> next_part(const Exchange& exchange, PendingReply& reply);
  template <class F>
  boost::asio::awaitable<std::invoke_result_t<F>> run_on(boost::asio::thread_pool& pool, F f);
  void give_up(Exchange& exchange);
  void log(const Exchange& exchange) const;

  /// Something has happened that send_pending may want to know.
  void wake();
  void watch_peer();
  boost::asio::awaitable<void> stop_watching_peer();

  TimedSocket socket_;
  std::string address_;  ///< the peer's
  ConnectionContext& context_;
  boost::beast::flat_buffer buffer_;  ///< received and not yet parsed

  WakeSignal signal_;

  PendingReply* reply_ = nullptr;  ///< being sent
  bool served_before_ = false;
  bool busy_ = false;  ///< between a request's headers and the end of its answer
  bool watching_peer_ = false;
  bool peer_gone_ = false;
  bool aborting_ = false;
  bool closed_ = false;
};

}  // namespace hearth
