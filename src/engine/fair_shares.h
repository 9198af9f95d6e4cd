#pragma once

#include <cstdint>
#include <map>
#include <string>

#include "engine/request.h"

namespace hearth {

/// The share of one user who has requests in the scheduler.
struct UserShare {
  User user;
  uint32_t requests = 0;  ///< running and waiting
  uint32_t running = 0;
  /// Seconds of the device that the user's answers are behind what is theirs; negative where they are ahead.
  double behind_seconds = 0;

  double running_by_weight() const { return running / user.weight; }
};

/// How users share a device: by weight, and among one user's requests equally. For one thread.
///
/// Prompts come in the order in which they would be done if what steps have for prompts were shared out like that at
/// every moment (the virtual finish times of fair queueing): a short one overtakes long ones, one of many comes after
/// another user's only one, and none waits for ever. Answers that are being written take part in all steps, which costs
/// little; but where a user's answers get on more slowly than with the user's share of the device alone, some steps are
/// for those who are behind (`behind_seconds`).
class FairShares {
 public:
  using Shares = std::map<std::string, UserShare, std::less<>>;

  /// A user's request comes; the share stays where it is until the last of the user's requests has left.
  UserShare& enter(const User& user);
  void leave(UserShare& share);

  /// When a prompt of `tokens` that comes now would be done. Less is sooner.
  double finish_of(const UserShare& share, uint32_t tokens) const;

  /// So many tokens of prompts are computed.
  void advance(uint32_t tokens);

  /// A step took `seconds`, of which the user's tokens alone would have taken `alone_seconds`; only for users whose
  /// answers are being written.
  void settle(UserShare& share, double seconds, double alone_seconds) const;

  /// Whether the next step is not for everybody but for those who are behind.
  bool someone_is_behind() const;

  size_t users() const { return shares_.size(); }
  Shares& shares() { return shares_; }

 private:
  Shares shares_;
  double weights_ = 0;  ///< of all users in `shares_`
  double now_ = 0;      ///< tokens of prompts for each unit of weight, so far
};

}  // namespace hearth
