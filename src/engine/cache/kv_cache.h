#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "base/result.h"
#include "engine/cache/block_hash.h"
#include "engine/cache/block_pool.h"
#include "engine/cache/sequence_states.h"
#include "model/model.h"

namespace hearth {

/// The blocks of one sequence.
struct SequenceBlocks {
  static constexpr int32_t kNoBlock = -1;

  /// By cache group, then by position / kBlockTokens, kNoBlock left of a window; or the table of `states`.
  std::vector<std::vector<int32_t>> tables;
  std::vector<uint32_t> first_held;  ///< by cache group: entries of the table before this one are kNoBlock
  uint32_t published = 0;            ///< blocks from the start that the prefix cache was told of
  SequenceStates states;
};

/// The blocks of all cache groups together: a sequence gets them in every group or in none. For one thread.
class KvCache {
 public:
  KvCache(std::span<const CacheGroup> groups, std::span<const uint32_t> blocks_per_group);

  /// Tokens from the start of a sequence that need not be computed again: a multiple of kBlockTokens, at most
  /// `max_tokens`. Of their K and V a group with a window needs only what the next token sees; of states it takes the
  /// one behind them. `hashes` are those of the full blocks.
  uint32_t cached_prefix(std::span<const BlockHash> hashes, uint32_t max_tokens) const;

  /// Takes the `tokens` that cached_prefix found into `blocks`, which holds nothing yet.
  void adopt_prefix(SequenceBlocks& blocks, std::span<const BlockHash> hashes, uint32_t tokens);

  /// Room for a step.
  struct Growth {
    uint32_t context_tokens = 0;   ///< before the step
    uint32_t end_tokens = 0;       ///< behind it
    uint32_t reserved_tokens = 0;  ///< positions to have room for where nothing slides, if that is more
    bool keep_state = false;       ///< at the end
    bool may_go_back = false;      ///< the step after it may begin where it begins: the state there is left as it is
  };
  /// Releases what slid out of the windows, then makes room. False, and nothing allocated, when a group lacks blocks.
  bool grow(SequenceBlocks& blocks, const Growth& growth);

  /// True when a sequence that is to have `tokens`, in steps of at most `step_tokens`, could grow to them now with
  /// `headroom` blocks of each group to spare.
  bool has_room(const SequenceBlocks& blocks, uint32_t tokens, uint32_t step_tokens, uint32_t headroom) const;

  /// Tells the prefix cache of the full blocks of the first `context_tokens`, which must be computed, and of the state
  /// behind them if it was kept. What goes beyond `prompt_tokens` is an answer.
  void publish(SequenceBlocks& blocks, std::span<const BlockHash> hashes, uint32_t context_tokens,
               uint32_t prompt_tokens);

  /// Gives everything back, last block first, so that the ends of prefixes are forgotten before their starts.
  void release(SequenceBlocks& blocks);

  bool keeps_states() const { return states_group_.has_value(); }
  const std::vector<BlockPool>& pools() const { return pools_; }

  /// Errors: internal, when a pool is broken or a block is in use though no sequence is there (`idle`).
  Result<void> check_integrity(bool idle) const;

 private:
  /// Index of the first block that a token at `position` sees.
  static uint32_t first_visible_block(const CacheGroup& group, uint32_t position);
  void slide(SequenceBlocks& blocks, size_t group, uint32_t context_tokens);

  bool lacks_blocks(const SequenceBlocks& blocks, size_t group, const Growth& growth) const;
  static uint32_t table_size(const CacheGroup& group, const Growth& growth);

  std::vector<CacheGroup> groups_;
  std::vector<BlockPool> pools_;
  std::optional<size_t> states_group_;
};

}  // namespace hearth
