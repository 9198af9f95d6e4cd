#pragma once

#include <algorithm>
#include <cstdint>
#include <limits>
#include <optional>
#include <vector>

#include "engine/cache/block_hash.h"
#include "engine/cache/kv_cache.h"

namespace hearth {

struct UserShare;

/// A request as the scheduler sees it: tokens, of which the first `computed` are remembered in `blocks`. The engine
/// owns it and appends tokens; the scheduler changes the rest.
struct Sequence {
  static constexpr uint32_t kNoPromptLogits = std::numeric_limits<uint32_t>::max();

  uint64_t arrival = 0;         ///< earlier requests have lower numbers; unique
  int32_t priority = 0;         ///< lower numbers come first
  UserShare* share = nullptr;   ///< of the user whose it is
  double finish = 0;            ///< its place among the prompts of its priority (FairShares::finish_of)
  std::vector<int32_t> tokens;  ///< prompt, then what was generated
  uint32_t prompt_tokens = 0;
  uint32_t computed = 0;
  /// Next position of the prompt whose logits are wanted beside those of the last token, for the prompt's logprobs.
  uint32_t next_prompt_logits = kNoPromptLogits;
  /// How many of the best logits the engine wants of each row of this sequence; 0 wants whole rows (device/step.h).
  uint32_t candidates = 0;

  /// Positions of the prompt behind which others may go on differently, multiples of kBlockTokens, ascending: a state
  /// is kept there, where layers have states.
  std::vector<uint32_t> forks;

  SequenceBlocks blocks;
  BlockHash root;                  ///< parent of the first block; carries the salt
  std::vector<BlockHash> hashes;   ///< of full blocks of `tokens`, as far as they were needed
  std::optional<uint32_t> cached;  ///< tokens found in the prefix cache when it was first admitted

  /// Whether its answer is being written: from the first step that gives a token until it loses its blocks. The
  /// scheduler says so.
  bool is_decoding = false;
  /// Guesses at the tokens behind `tokens`, which the next step may verify, or some of them. They stay
  /// as they are until it is committed, and are none then.
  std::vector<int32_t> drafts;

  uint32_t size() const { return static_cast<uint32_t>(tokens.size()); }
  uint32_t remaining() const { return size() - computed; }

  /// All positions from here on need logits, those before do not.
  uint32_t first_logit_position() const { return std::min(next_prompt_logits, size() - 1); }
};

}  // namespace hearth
