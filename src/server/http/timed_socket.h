#pragma once

#include <boost/asio/awaitable.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/steady_timer.hpp>
#include <chrono>
#include <cstdint>
#include <memory>
#include <string_view>

namespace hearth {

/// How fast a peer must take what is written.
struct WritePace {
  std::chrono::milliseconds stall_timeout;  ///< it takes nothing for so long
  uint32_t min_bytes_per_second;            ///< on average over the whole, beyond the first `stall_timeout`
};

/// A TCP socket whose reads and writes end in time. Used on the I/O thread only. Every operation is cancelled by
/// close(), so a coroutine that waits here ends soon after.
class TimedSocket {
 public:
  explicit TimedSocket(boost::asio::ip::tcp::socket socket);
  TimedSocket(const TimedSocket&) = delete;
  TimedSocket& operator=(const TimedSocket&) = delete;
  ~TimedSocket() { close(); }

  boost::asio::ip::tcp::socket& get() { return socket_; }

  /// Cancels the socket's operations in `timeout`, unless stop_timer() comes first. For operations that are started
  /// on get().
  void start_timer(std::chrono::milliseconds timeout);
  void stop_timer();

  /// Whether the last timer ran out.
  bool timed_out() const { return state_->timed_out; }

  /// Writes all of `bytes`; false when the peer is gone or slower than `pace`.
  boost::asio::awaitable<bool> write(std::string_view bytes, WritePace pace);

  /// Ends the connection so that the peer can read what was sent: a socket that is closed while bytes of the peer lie
  /// unread in it takes back its own last bytes (RFC 9112, 9.6). Waits up to `timeout` for the peer to close.
  boost::asio::awaitable<void> linger(std::chrono::milliseconds timeout);

  /// Closes at once; the system still tries to deliver what was written.
  void close();

  /// Closes at once and drops what the peer has not taken.
  void reset();

 private:
  struct TimerState {
    uint64_t starts = 0;
    bool timed_out = false;
    bool closed = false;
  };

  void cancel_after(std::chrono::milliseconds timeout);

  boost::asio::ip::tcp::socket socket_;
  boost::asio::steady_timer timer_;
  std::shared_ptr<TimerState> state_;  ///< outlives this object in the timer's handler
};

}  // namespace hearth
