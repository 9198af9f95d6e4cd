#include "server/http/listen_addresses.h"

#include <fmt/format.h>

#include <algorithm>
#include <boost/asio/ip/v6_only.hpp>
#include <utility>

namespace hearth {
namespace {

namespace asio = boost::asio;
using asio::ip::tcp;

/// A port that the system chose for one address may be taken on the next.
constexpr int kPortAttempts = 10;

bool is_not_here(boost::system::error_code error) {
  return error == asio::error::address_family_not_supported || error == boost::system::errc::address_not_available;
}

tcp::acceptor open_acceptor(asio::io_context& io, const tcp::endpoint& endpoint, boost::system::error_code& error) {
  tcp::acceptor acceptor(io);
  acceptor.open(endpoint.protocol(), error);
  if (!error && endpoint.address().is_v6()) {
    acceptor.set_option(asio::ip::v6_only(!endpoint.address().is_unspecified()), error);
  }
  // A server that was just stopped leaves connections behind that would keep the port for a minute.
  if (!error) acceptor.set_option(asio::socket_base::reuse_address(true), error);
  if (!error) acceptor.bind(endpoint, error);
  if (!error) acceptor.listen(asio::socket_base::max_listen_connections, error);
  return acceptor;
}

std::vector<tcp::acceptor> open_all(asio::io_context& io, std::span<const asio::ip::address> addresses, uint16_t port,
                                    boost::system::error_code& error) {
  std::vector<tcp::acceptor> acceptors;
  boost::system::error_code not_here;
  for (const asio::ip::address& address : addresses) {
    tcp::acceptor acceptor = open_acceptor(io, {address, port}, error);
    if (is_not_here(error)) {
      not_here = std::exchange(error, {});
      continue;
    }
    if (!error && port == 0) port = acceptor.local_endpoint(error).port();
    if (error) return {};
    acceptors.push_back(std::move(acceptor));
  }
  if (acceptors.empty()) error = not_here;
  return acceptors;
}

}  // namespace

std::vector<asio::ip::address> listen_addresses(asio::io_context& io, const std::string& host,
                                                boost::system::error_code& error) {
  error = {};
  if (host.empty() || host == "*") return {asio::ip::address_v6::any(), asio::ip::address_v4::any()};
  if (host == "localhost") return {asio::ip::address_v4::loopback(), asio::ip::address_v6::loopback()};
  const bool in_brackets = host.starts_with('[') && host.ends_with(']');
  const std::string name = in_brackets ? host.substr(1, host.size() - 2) : host;
  std::vector<asio::ip::address> addresses;
  tcp::resolver resolver(io);
  for (const auto& entry : resolver.resolve(name, "", tcp::resolver::passive, error)) {
    const asio::ip::address address = entry.endpoint().address();
    if (std::ranges::find(addresses, address) == addresses.end()) addresses.push_back(address);
  }
  std::ranges::stable_partition(addresses, [](const auto& address) { return address.is_v4(); });
  return addresses;
}

std::vector<tcp::acceptor> open_acceptors(asio::io_context& io, std::span<const asio::ip::address> addresses,
                                          uint16_t port, boost::system::error_code& error) {
  // "::" has IPv4 in it, which then is taken; where there is no IPv6, 0.0.0.0 stands alone.
  const bool is_every_interface = addresses.size() == 2 && addresses[0].is_unspecified();
  if (is_every_interface) {
    std::vector<tcp::acceptor> acceptors = open_all(io, addresses.first(1), port, error);
    if (!is_not_here(error)) return acceptors;
    return open_all(io, addresses.subspan(1), port, error);
  }
  std::vector<tcp::acceptor> acceptors;
  for (int attempt = 0; attempt < kPortAttempts; ++attempt) {
    acceptors = open_all(io, addresses, port, error);
    if (port != 0 || error != asio::error::address_in_use) break;
  }
  return acceptors;
}

std::string url_of(const tcp::endpoint& endpoint) {
  const auto& address = endpoint.address();
  const std::string host = address.is_unspecified() ? (address.is_v6() ? "[::1]" : "127.0.0.1")
                           : address.is_v6()        ? fmt::format("[{}]", address.to_string())
                                                    : address.to_string();
  return fmt::format("http://{}:{}", host, endpoint.port());
}

std::string describe_endpoints(std::span<const tcp::endpoint> endpoints) {
  std::string text;
  for (const tcp::endpoint& endpoint : endpoints) {
    text += (text.empty() ? "" : " and ") + url_of(endpoint);
    if (!endpoint.address().is_unspecified()) continue;
    text += endpoint.address().is_v6() ? " (every interface, ::)" : " (every IPv4 interface, 0.0.0.0)";
  }
  return text;
}

}  // namespace hearth
