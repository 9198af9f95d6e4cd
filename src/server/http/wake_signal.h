#pragma once

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/as_tuple.hpp>
#include <boost/asio/awaitable.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <chrono>

namespace hearth {

/// Lets one coroutine wait until something has happened, whatever it is. A signal that comes while nobody waits is kept
/// for the next wait. For one thread.
class WakeSignal {
 public:
  explicit WakeSignal(const boost::asio::any_io_executor& executor) : timer_(executor) {}

  void wake() {
    woken_ = true;
    timer_.cancel();
  }

  /// Returns when woken, at the latest at `until`; may also return for no reason.
  boost::asio::awaitable<void> wait(std::chrono::steady_clock::time_point until) {
    if (!woken_) {
      timer_.expires_at(until);
      co_await timer_.async_wait(boost::asio::as_tuple(boost::asio::use_awaitable));
    }
    woken_ = false;
  }

 private:
  boost::asio::steady_timer timer_;
  bool woken_ = false;
};

}  // namespace hearth
