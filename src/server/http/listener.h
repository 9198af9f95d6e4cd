#pragma once

#include <boost/asio/awaitable.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <cstdint>
#include <memory>
#include <unordered_set>
#include <vector>

#include "base/result.h"
#include "server/http/connection.h"

namespace hearth {

/// Accepts connections and keeps count of them. Made before the I/O thread runs, used on it from then on.
class Listener {
 public:
  explicit Listener(boost::asio::io_context& io, ConnectionContext& context);

  /// Binds to host and port of the options, on every address that the host stands for. Errors: io, naming both.
  Result<void> listen();

  /// Begins to accept.
  void start();

  /// Accepts no more: the port is free for another process from here on.
  void stop();

  /// What is listened on, with one port; one or more.
  const std::vector<boost::asio::ip::tcp::endpoint>& endpoints() const { return endpoints_; }
  const std::unordered_set<std::shared_ptr<Connection>>& connections() const { return connections_; }

 private:
  boost::asio::awaitable<void> accept_loop(boost::asio::ip::tcp::acceptor& acceptor);
  void serve(boost::asio::ip::tcp::socket socket);

  boost::asio::io_context& io_;
  ConnectionContext& context_;
  std::vector<boost::asio::ip::tcp::acceptor> acceptors_;
  std::vector<boost::asio::ip::tcp::endpoint> endpoints_;
  std::unordered_set<std::shared_ptr<Connection>> connections_;
};

}  // namespace hearth
