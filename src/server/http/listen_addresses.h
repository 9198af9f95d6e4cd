#pragma once

#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/address.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/system/error_code.hpp>
#include <span>
#include <string>
#include <vector>

namespace hearth {

/// The addresses that `host` stands for: itself if it is one ("::1", "[::1]"), both loopbacks for "localhost" (clients
/// say either), every interface for "" and "*", else all that the name resolves to. Sets `error` where there are none.
std::vector<boost::asio::ip::address> listen_addresses(boost::asio::io_context& io, const std::string& host,
                                                       boost::system::error_code& error);

/// Opens acceptors on all of `addresses` with one port, chosen by the system where `port` is 0. Addresses of a kind
/// that this machine does not have (IPv6 switched off) are left out, unless nothing is left. Of "::", which is every
/// interface, IPv4's are part. Sets `error` and returns nothing where one is taken or forbidden.
std::vector<boost::asio::ip::tcp::acceptor> open_acceptors(boost::asio::io_context& io,
                                                           std::span<const boost::asio::ip::address> addresses,
                                                           uint16_t port, boost::system::error_code& error);

/// "http://127.0.0.1:8080": where a client of this machine finds `endpoint`, which may be every interface.
std::string url_of(const boost::asio::ip::tcp::endpoint& endpoint);

/// "http://127.0.0.1:8080 and http://[::1]:8080", "http://127.0.0.1:8080 (every IPv4 interface, 0.0.0.0)": all that is
/// listened on, so that nobody is reached from further away than the log says.
std::string describe_endpoints(std::span<const boost::asio::ip::tcp::endpoint> endpoints);

}  // namespace hearth
