#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <variant>

#include "base/result.h"
#include "server/http/message.h"

namespace hearth {

/// For the log: what a generation read and wrote.
struct ReplyStatistics {
  uint32_t prompt_tokens = 0;
  uint32_t cached_tokens = 0;
  uint32_t completion_tokens = 0;
  std::optional<std::chrono::milliseconds> time_to_first_token;  ///< from the request's arrival
};

/// The next part of an answer that comes bit by bit.
struct ReplyPart {
  /// The whole answer, or the error that ends it; nothing follows. In a stream that has begun its body becomes the
  /// last event.
  std::optional<HttpResponse> response{};
  std::string events{};  ///< bytes of an event stream; the first ones imply its headers
  bool end = false;      ///< of the stream
};

/// An answer that takes time. The connection owns it and calls it from the I/O thread, but for a take() that is long;
/// its destructor gives the work up. No call blocks.
class PendingReply {
 public:
  virtual ~PendingReply() = default;

  /// Begins the work. `wake` is called from any thread whenever take() or is_overflowing() may say something new, but
  /// never after the destructor has begun to return.
  virtual void start(std::function<void()> wake) = 0;

  /// What has come since the last call; may be nothing.
  virtual ReplyPart take() = 0;

  /// Whether take() has so much to write that others would notice, some hundred microseconds. It is then called from
  /// another thread; of the rest only is_overflowing() may be called meanwhile.
  virtual bool take_is_long() const { return false; }

  /// Gives the work up and says how to end the answer.
  virtual ReplyPart abandon(const Error& why) = 0;

  /// Whether the client asked for an event stream: such an answer may begin before there is anything to say.
  virtual bool is_event_stream() const = 0;

  /// More is waiting to be sent than may be kept: the reader is too slow.
  virtual bool is_overflowing() const = 0;

  /// When take() may say something new without a wake.
  virtual std::optional<std::chrono::steady_clock::time_point> wakes_at() const { return std::nullopt; }

  virtual ReplyStatistics statistics() const = 0;
};

using Reply = std::variant<HttpResponse, std::unique_ptr<PendingReply>>;

}  // namespace hearth
