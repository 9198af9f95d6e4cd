#include "server/http/timed_socket.h"

#include <algorithm>
#include <array>
#include <boost/asio/buffer.hpp>
#include <utility>

#include "server/http/as_tuple.h"

namespace hearth {
namespace {

namespace asio = boost::asio;

/// An operation of several reads may be between two of them when it is cancelled, and begin the next one.
constexpr std::chrono::milliseconds kCancelAgain{10};

/// What a peer may still send while its connection is being closed.
constexpr size_t kMaxDiscardedBytes = 64 << 20;

}  // namespace

TimedSocket::TimedSocket(asio::ip::tcp::socket socket)
    : socket_(std::move(socket)), timer_(socket_.get_executor()), state_(std::make_shared<TimerState>()) {}

void TimedSocket::start_timer(std::chrono::milliseconds timeout) {
  state_->timed_out = false;
  ++state_->starts;
  cancel_after(timeout);
}

void TimedSocket::cancel_after(std::chrono::milliseconds timeout) {
  timer_.expires_after(timeout);
  timer_.async_wait([this, state = state_, start = state_->starts](boost::system::error_code error) {
    // A stopped timer's handler may already be queued, and this object gone.
    if (error || state->closed || state->starts != start) return;
    state->timed_out = true;
    boost::system::error_code ignored;
    socket_.cancel(ignored);
    cancel_after(kCancelAgain);
  });
}

void TimedSocket::stop_timer() {
  ++state_->starts;
  timer_.cancel();
}

asio::awaitable<bool> TimedSocket::write(std::string_view bytes, WritePace pace) {
  using std::chrono::milliseconds;
  using std::chrono::steady_clock;
  const milliseconds fair_share(bytes.size() * 1000 / std::max(1U, pace.min_bytes_per_second));
  const auto deadline = steady_clock::now() + pace.stall_timeout + fair_share;
  while (!bytes.empty()) {
    const auto left = std::chrono::ceil<milliseconds>(deadline - steady_clock::now());
    if (left.count() <= 0) co_return false;
    start_timer(std::min(left, pace.stall_timeout));
    const auto [error, written] = co_await socket_.async_write_some(asio::buffer(bytes.data(), bytes.size()), kTuple);
    stop_timer();
    if (error) co_return false;
    bytes.remove_prefix(written);
  }
  co_return true;
}

asio::awaitable<void> TimedSocket::linger(std::chrono::milliseconds timeout) {
  boost::system::error_code error;
  socket_.shutdown(asio::ip::tcp::socket::shutdown_send, error);
  if (error) co_return;
  start_timer(timeout);
  std::array<char, 16384> discarded;
  for (size_t total = 0; total < kMaxDiscardedBytes;) {
    const auto [read_error, count] = co_await socket_.async_read_some(asio::buffer(discarded), kTuple);
    if (read_error) break;
    total += count;
  }
  stop_timer();
}

void TimedSocket::close() {
  state_->closed = true;
  timer_.cancel();
  boost::system::error_code ignored;
  socket_.close(ignored);
}

void TimedSocket::reset() {
  boost::system::error_code ignored;
  socket_.set_option(asio::socket_base::linger(true, 0), ignored);
  close();
}

}  // namespace hearth
