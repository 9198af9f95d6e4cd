#pragma once

#include <boost/asio/awaitable.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/steady_timer.hpp>
#include <cstdint>
#include <memory>
#include <unordered_set>

#include "base/result.h"
#include "server/http/connection.h"

namespace hearth {

/// Accepts connections and keeps count of them. Made before the I/O thread runs, used on it from then on.
class Listener {
 public:
  explicit Listener(boost::asio::io_context& io, ConnectionContext& context);

  /// Binds to host and port of the options. Errors: io, naming both.
  Result<void> listen();

  /// Begins to accept.
  void start();

  /// Accepts no more: the port is free for another process from here on.
  void stop();

  boost::asio::ip::tcp::endpoint endpoint() const { return endpoint_; }
  const std::unordered_set<std::shared_ptr<Connection>>& connections() const { return connections_; }

 private:
  boost::asio::awaitable<void> accept_loop();
  void serve(boost::asio::ip::tcp::socket socket);

  boost::asio::io_context& io_;
  ConnectionContext& context_;
  boost::asio::ip::tcp::acceptor acceptor_;
  boost::asio::ip::tcp::endpoint endpoint_;
  boost::asio::steady_timer pause_;
  std::unordered_set<std::shared_ptr<Connection>> connections_;
};

}  // namespace hearth
