#pragma once

#include <cstdint>
#include <map>
#include <mutex>
#include <string>
#include <string_view>
#include <utility>

namespace hearth {

/// How many requests were answered, by route and status. Safe from any thread.
class RequestCounters {
 public:
  /// `route` must come from the router: what a client can make up would grow without end.
  void count(std::string_view route, unsigned status) {
    std::lock_guard lock(mutex_);
    ++counts_[{std::string(route), status}];
  }

  std::map<std::pair<std::string, unsigned>, uint64_t> snapshot() const {
    std::lock_guard lock(mutex_);
    return counts_;
  }

 private:
  mutable std::mutex mutex_;
  std::map<std::pair<std::string, unsigned>, uint64_t> counts_;
};

}  // namespace hearth
