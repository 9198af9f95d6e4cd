#pragma once

#include <cstdint>

#include "server/server_options.h"

namespace hearth {

/// What all connections hold of request bodies: what has arrived, not what was declared. On the I/O thread.
class BodyBudget {
 public:
  explicit BodyBudget(const ServerOptions& options)
      : limit_(options.max_buffered_body_bytes), small_(limit_ / 2 / (options.max_connections + 1)) {}

  /// Whether a body of `bytes` would find room beside what others hold; `held_already` of it is counted. Small ones
  /// always do, which takes half the limit beyond it at most: large ones that somebody holds back keep no small one
  /// out.
  bool has_room(uint64_t bytes, uint64_t held_already = 0) const {
    return bytes <= small_ || held_ - held_already + bytes <= limit_;
  }

 private:
  friend class BodyShare;

  const uint64_t limit_;
  const uint64_t small_;
  uint64_t held_ = 0;
};

/// One body's part of the budget, given back when it is destroyed.
class BodyShare {
 public:
  explicit BodyShare(BodyBudget& budget) : budget_(budget) {}
  BodyShare(const BodyShare&) = delete;
  BodyShare& operator=(const BodyShare&) = delete;
  ~BodyShare() { release(); }

  /// The body has `bytes` now; false if that is more than there is room for.
  bool grow(uint64_t bytes) {
    if (!budget_.has_room(bytes, bytes_)) return false;
    budget_.held_ += bytes - bytes_;
    bytes_ = bytes;
    return true;
  }

  void release() {
    budget_.held_ -= bytes_;
    bytes_ = 0;
  }

 private:
  BodyBudget& budget_;
  uint64_t bytes_ = 0;
};

}  // namespace hearth
