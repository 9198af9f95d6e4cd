#include "server/http/listener.h"

#include <fmt/format.h>
#include <spdlog/spdlog.h>

#include <boost/asio/buffer.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/steady_timer.hpp>
#include <exception>
#include <string>
#include <utility>

#include "server/api_error.h"
#include "server/http/as_tuple.h"
#include "server/http/listen_addresses.h"
#include "server/http/wire.h"

namespace hearth {
namespace {

namespace asio = boost::asio;
using asio::ip::tcp;

/// After an accept that failed for want of file descriptors or memory: trying again at once would only burn the CPU.
constexpr std::chrono::milliseconds kPauseAfterFailure{100};

/// Says no and closes, without waiting: the system has room for so few bytes in a new socket.
void turn_away(tcp::socket& socket) {
  const HttpResponse response = to_response({.status = 503,
                                             .message = "Too many connections",
                                             .type = "server_error",
                                             .code = "overloaded",
                                             .retry_after_seconds = 1});
  boost::system::error_code ignored;
  socket.non_blocking(true, ignored);
  socket.write_some(asio::buffer(response_bytes(response, {}, {.keep_alive = false})), ignored);
  socket.shutdown(tcp::socket::shutdown_send, ignored);
}

std::string hint_for(boost::system::error_code error) {
  if (error == asio::error::address_in_use) return "stop what listens there, or choose another port with --port";
  if (error == asio::error::access_denied) return "ports below 1024 are for root; choose another with --port";
  return "";
}

}  // namespace

Listener::Listener(asio::io_context& io, ConnectionContext& context) : io_(io), context_(context) {}

Result<void> Listener::listen() {
  const ServerOptions& options = context_.options;
  const auto failure = [&](boost::system::error_code error) {
    return fail(ErrorCode::io,
                fmt::format("cannot listen on {} port {}: {}", options.host, options.port, error.message()),
                hint_for(error));
  };
  boost::system::error_code error;
  const std::vector<asio::ip::address> addresses = listen_addresses(io_, options.host, error);
  if (!error) acceptors_ = open_acceptors(io_, addresses, options.port, error);
  for (const tcp::acceptor& acceptor : acceptors_) {
    if (!error) endpoints_.push_back(acceptor.local_endpoint(error));
  }
  if (error) return failure(error);
  return {};
}

void Listener::start() {
  for (tcp::acceptor& acceptor : acceptors_) asio::co_spawn(io_, accept_loop(acceptor), asio::detached);
}

void Listener::stop() {
  boost::system::error_code ignored;
  for (tcp::acceptor& acceptor : acceptors_) acceptor.close(ignored);
}

asio::awaitable<void> Listener::accept_loop(tcp::acceptor& acceptor) {
  asio::steady_timer pause(io_);
  while (acceptor.is_open()) {
    auto [error, socket] = co_await acceptor.async_accept(kTuple);
    if (error == asio::error::operation_aborted) continue;
    if (error) {
      spdlog::warn("cannot accept a connection: {}", error.message());
      pause.expires_after(kPauseAfterFailure);
      co_await pause.async_wait(kTuple);
      continue;
    }
    if (connections_.size() >= context_.options.max_connections) {
      turn_away(socket);
      continue;
    }
    boost::system::error_code ignored;
    socket.set_option(tcp::no_delay(true), ignored);
    serve(std::move(socket));
  }
}

void Listener::serve(tcp::socket socket) {
  auto connection = std::make_shared<Connection>(std::move(socket), context_);
  connections_.insert(connection);
  asio::co_spawn(io_, connection->run(), [this, connection](const std::exception_ptr& exception) {
    connections_.erase(connection);
    if (!exception) return;
    connection->close_now();
    try {
      std::rethrow_exception(exception);
    } catch (const std::exception& error) {
      spdlog::error("a connection was closed: {}", error.what());
    }
  });
}

}  // namespace hearth
