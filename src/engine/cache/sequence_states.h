#pragma once

#include <cstdint>
#include <limits>
#include <optional>
#include <vector>

#include "engine/cache/block_hash.h"
#include "engine/cache/block_pool.h"

namespace hearth {

/// Which blocks hold a sequence's state (device/cache_spec.h) before and after its next step. A state is written over
/// by the next step unless it is kept, or that step may turn out wrong: then the next step reads it where it is and
/// writes another block, so that nothing is ever copied. For one thread.
class SequenceStates {
 public:
  /// What a step takes as its block table (SequenceInput): the block that it reads, and the one that it writes.
  std::vector<int32_t> table() const { return {from_, to_}; }

  /// Whether `step` can have a block for the state after the tokens behind `context_tokens`.
  bool can_step(const BlockPool& pool, uint32_t context_tokens, bool may_go_back) const;

  /// Prepares for a step from `context_tokens` to `end_tokens`, where the state is to be kept if `keep` says so and
  /// there is a block to spare then. A step that was prepared, but not made, may be prepared otherwise, and so may one
  /// that was made and `may_go_back`. The step before it may still be in flight.
  void step(BlockPool& pool, uint32_t context_tokens, uint32_t end_tokens, bool keep, bool may_go_back);

  /// Begins with a state that the prefix cache has.
  void adopt(BlockPool& pool, int32_t block, uint32_t tokens);

  /// Tells the prefix cache of the state after `tokens`, which are computed, if it was kept. One that is only an answer
  /// on its way takes the place of the one before it.
  void publish(BlockPool& pool, uint32_t tokens, const BlockHash& hash, bool is_passing);

  void release(BlockPool& pool);

  uint32_t last_kept() const { return last_kept_; }  ///< tokens

 private:
  static constexpr int32_t kNone = -1;
  static constexpr uint32_t kNowhere = std::numeric_limits<uint32_t>::max();

  // One reference to each block; from_ is kNone where the sequence begins.
  int32_t from_ = kNone, to_ = kNone;
  uint32_t begin_ = kNowhere, end_ = 0;  ///< tokens before and after the step
  bool keep_ = false;                    ///< the state at the end
  uint32_t last_kept_ = 0;
  std::optional<BlockHash> passing_;  ///< of the last state that was published on the way of an answer
};

}  // namespace hearth
