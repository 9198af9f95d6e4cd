#include "engine/fair_shares.h"

#include <algorithm>

namespace hearth {
namespace {

// What was long ago is forgotten: nobody is owed more, and no head start counts for more.
constexpr double kMostBehind = 1;    // seconds
constexpr double kMostAhead = 0.25;  // seconds

}  // namespace

UserShare& FairShares::enter(const User& user) {
  UserShare& share = shares_[user.id];
  weights_ += user.weight - (share.requests == 0 ? 0 : share.user.weight);
  share.user = user;
  ++share.requests;
  return share;
}

void FairShares::leave(UserShare& share) {
  if (--share.requests > 0) return;
  weights_ -= share.user.weight;
  shares_.erase(shares_.find(share.user.id));
  if (shares_.empty()) weights_ = 0;  // no rounding stays
}

double FairShares::finish_of(const UserShare& share, uint32_t tokens) const {
  return now_ + tokens * (share.requests / share.user.weight);
}

void FairShares::advance(uint32_t tokens) {
  if (weights_ > 0) now_ += tokens / weights_;
}

void FairShares::settle(UserShare& share, double seconds, double alone_seconds) const {
  const double owed = seconds * share.user.weight / weights_;
  share.behind_seconds = std::clamp(share.behind_seconds + owed - alone_seconds, -kMostAhead, kMostBehind);
}

bool FairShares::someone_is_behind() const {
  return shares_.size() > 1 &&
         std::ranges::any_of(shares_, [](const auto& entry) { return entry.second.behind_seconds > 0; });
}

}  // namespace hearth
