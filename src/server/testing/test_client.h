#pragma once

#include <arpa/inet.h>
#include <fmt/format.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include <cstdint>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>
#include <utility>

#include "server/http/message.h"

namespace hearth {

/// What a server sent: whole, or as far as it came.
struct TestResponse {
  unsigned status = 0;  ///< 0: the connection ended before a response
  Headers headers;
  std::string body;
  bool complete = false;  ///< the body ended as its headers said

  std::string_view header(std::string_view name) const { return find_header(headers, name); }
  nlohmann::json json() const { return nlohmann::json::parse(body, nullptr, false); }
};

/// A TCP client that sends exactly the bytes it is told to, for tests. Reads give up after a minute: a limit for what
/// is broken, not for what a busy machine makes slow.
class TestClient {
 public:
  explicit TestClient(uint16_t port, int receive_buffer_bytes = 0, int family = AF_INET)
      : socket_(::socket(family, SOCK_STREAM, 0)) {
    if (receive_buffer_bytes > 0) {
      ::setsockopt(socket_, SOL_SOCKET, SO_RCVBUF, &receive_buffer_bytes, sizeof receive_buffer_bytes);
    }
    const timeval timeout{.tv_sec = 60, .tv_usec = 0};
    ::setsockopt(socket_, SOL_SOCKET, SO_RCVTIMEO, &timeout, sizeof timeout);
    sockaddr_in ipv4{};
    ipv4.sin_family = AF_INET;
    ipv4.sin_port = htons(port);
    ipv4.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    sockaddr_in6 ipv6{};
    ipv6.sin6_family = AF_INET6;
    ipv6.sin6_port = htons(port);
    ipv6.sin6_addr = in6addr_loopback;
    const auto* address = family == AF_INET ? reinterpret_cast<sockaddr*>(&ipv4) : reinterpret_cast<sockaddr*>(&ipv6);
    connected_ = ::connect(socket_, address, family == AF_INET ? sizeof ipv4 : sizeof ipv6) == 0;
  }
  TestClient(const TestClient&) = delete;
  TestClient& operator=(const TestClient&) = delete;
  ~TestClient() { close(); }

  bool connected() const { return connected_; }

  void close() {
    if (socket_ >= 0) ::close(socket_);
    socket_ = -1;
  }

  bool send(std::string_view bytes) {
    while (!bytes.empty()) {
      const ssize_t sent = ::send(socket_, bytes.data(), bytes.size(), MSG_NOSIGNAL);
      if (sent <= 0) return false;
      bytes.remove_prefix(static_cast<size_t>(sent));
    }
    return true;
  }

  bool get(std::string_view path, std::string_view headers = "") {
    return send(fmt::format("GET {} HTTP/1.1\r\nHost: test\r\n{}\r\n", path, headers));
  }

  bool post(std::string_view path, std::string_view body, std::string_view headers = "") {
    return send(fmt::format("POST {} HTTP/1.1\r\nHost: test\r\nContent-Length: {}\r\n{}\r\n{}", path, body.size(),
                            headers, body));
  }

  /// The next response. Interim ones (100) are responses of their own.
  TestResponse read(bool to_head = false) {
    TestResponse response;
    if (!read_head(response)) return response;
    if (to_head || response.status == 100 || response.status == 204) {
      response.complete = true;
    } else if (response.header("Transfer-Encoding") == "chunked") {
      response.complete = read_chunks(response.body);
    } else if (const std::string length(response.header("Content-Length")); !length.empty()) {
      response.complete = take(std::stoul(length), response.body);
    } else {
      while (fill()) continue;
      response.body = std::exchange(buffer_, {});
      response.complete = ended_;
    }
    return response;
  }

  /// Reads until what was received so far holds `text`.
  bool read_until(std::string_view text) {
    while (buffer_.find(text) == std::string::npos) {
      if (!fill()) return false;
    }
    return true;
  }

  /// Reads what is there, at most 16 KiB; false when the connection has ended.
  bool receive_some() { return fill(); }

  /// Whether the server closes without sending anything more.
  bool is_closed_by_server() { return buffer_.empty() && !fill() && ended_; }

 private:
  bool fill() {
    char bytes[16384];
    const ssize_t count = ::recv(socket_, bytes, sizeof bytes, 0);
    // A reset counts as an end.
    ended_ = count == 0 || (count < 0 && errno != EAGAIN && errno != EWOULDBLOCK);
    if (count <= 0) return false;
    buffer_.append(bytes, static_cast<size_t>(count));
    return true;
  }

  bool take(size_t count, std::string& to) {
    while (buffer_.size() < count) {
      if (!fill()) return false;
    }
    to.append(buffer_, 0, count);
    buffer_.erase(0, count);
    return true;
  }

  bool take_line(std::string& line) {
    if (!read_until("\r\n")) return false;
    line = buffer_.substr(0, buffer_.find("\r\n"));
    buffer_.erase(0, line.size() + 2);
    return true;
  }

  bool read_head(TestResponse& response) {
    std::string line;
    if (!take_line(line)) return false;
    response.status = static_cast<unsigned>(std::stoul(line.substr(9, 3)));
    while (take_line(line) && !line.empty()) {
      const size_t colon = line.find(": ");
      response.headers.emplace_back(line.substr(0, colon), line.substr(colon + 2));
    }
    return true;
  }

  bool read_chunks(std::string& body) {
    for (std::string line; take_line(line);) {
      const size_t size = std::stoul(line, nullptr, 16);
      std::string end;
      if (!take(size, body) || !take(2, end)) return false;
      if (size == 0) return true;
    }
    return false;
  }

  int socket_ = -1;
  bool connected_ = false;
  bool ended_ = false;
  std::string buffer_;
};

/// The data of each event in the body of a stream; comments are left out.
inline std::vector<std::string> event_data(std::string_view body) {
  std::vector<std::string> events;
  for (size_t end; (end = body.find("\n\n")) != body.npos; body.remove_prefix(end + 2)) {
    const std::string_view event = body.substr(0, end);
    if (event.starts_with("data: ")) events.emplace_back(event.substr(6));
  }
  return events;
}

}  // namespace hearth
