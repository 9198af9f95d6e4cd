#include "engine/cache/sequence_states.h"

#include <algorithm>

namespace hearth {

bool SequenceStates::can_step(const BlockPool& pool, uint32_t context_tokens, bool may_go_back) const {
  const bool is_prepared = to_ != kNone && context_tokens == begin_;
  if (is_prepared && (from_ != to_ || !may_go_back)) return true;
  if (to_ != kNone && !keep_ && !may_go_back) return true;
  const bool can_give_up = to_ != kNone && pool.references(to_) == 1 && !may_go_back;
  const bool sets_free = !is_prepared && from_ != kNone && from_ != to_ && pool.references(from_) == 1;
  return pool.free_count() > 0 || can_give_up || sets_free;
}

void SequenceStates::step(BlockPool& pool, uint32_t context_tokens, uint32_t end_tokens, bool keep, bool may_go_back) {
  if (to_ == kNone) {
    to_ = *pool.allocate();
  } else if (context_tokens != begin_) {
    if (from_ != kNone && from_ != to_) pool.release(from_);
    from_ = to_;
    if (keep_ || may_go_back) {
      const auto next = pool.allocate();
      if (!next) pool.forget(to_);
      to_ = next.value_or(from_);
    }
  } else if (may_go_back && from_ == to_) {
    to_ = *pool.allocate();
  }
  begin_ = context_tokens;
  end_ = end_tokens;
  keep_ = keep;
  if (keep) last_kept_ = std::max(last_kept_, end_tokens);
}

void SequenceStates::adopt(BlockPool& pool, int32_t block, uint32_t tokens) {
  pool.acquire(block);
  to_ = block;
  end_ = last_kept_ = tokens;
  keep_ = true;
}

void SequenceStates::publish(BlockPool& pool, uint32_t tokens, const BlockHash& hash, bool is_passing) {
  int32_t block = kNone;
  if (tokens == end_ && keep_) block = to_;
  if (tokens == begin_ && from_ != to_) block = from_;  // the step behind it is prepared already
  if (block == kNone) return;
  pool.publish(block, hash);
  if (passing_) {
    const auto before = pool.find(*passing_);
    if (before && pool.references(*before) == 0) pool.forget(*before);
  }
  passing_.reset();
  if (is_passing) passing_ = hash;
}

void SequenceStates::release(BlockPool& pool) {
  if (to_ != kNone) pool.release(to_);
  if (from_ != kNone && from_ != to_) pool.release(from_);
  *this = {};
}

}  // namespace hearth
