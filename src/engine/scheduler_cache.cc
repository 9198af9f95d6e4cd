// What the scheduler has the cache keep, and what it finds there.
#include <algorithm>

#include "device/step.h"
#include "engine/scheduler.h"

namespace hearth {
namespace {

/// How many of `drafts` are the tokens from `position` on.
uint32_t right_drafts(const Sequence& sequence, uint32_t position, std::span<const int32_t> drafts) {
  const std::span<const int32_t> tokens = std::span(sequence.tokens).subspan(std::min(position, sequence.size()));
  return static_cast<uint32_t>(std::ranges::mismatch(drafts, tokens).in1 - drafts.begin());
}

}  // namespace

/// A state is kept where others are likely to go on from: where forks are expected, so far as an answer has got, and on
/// the way through a long prompt so often that one that forks anywhere else computes a fifth of it again, or a thousand
/// tokens.
KvCache::Growth Scheduler::growth(const Sequence& sequence, uint32_t context_tokens, const StepRows& rows) const {
  constexpr uint32_t kLeastApart = 1024;
  const uint32_t end = context_tokens + rows.count();
  const uint32_t kept = sequence.blocks.states.last_kept();
  const bool is_likely = end > sequence.prompt_tokens || std::ranges::binary_search(sequence.forks, end) ||
                         end >= kept + std::max(kLeastApart, kept / 4);
  return {.context_tokens = context_tokens,
          .end_tokens = end,
          .keep_state = limits_.prefix_cache && end % kBlockTokens == 0 && is_likely,
          .may_go_back = rows.verify > 0};
}

/// Of so many tokens those up to where a state can be kept, if there is such a place.
uint32_t Scheduler::chunk_to_keep(const Sequence& sequence, uint32_t tokens) const {
  if (!limits_.prefix_cache || !cache_.keeps_states()) return tokens;
  const uint32_t end = sequence.computed + tokens;
  constexpr uint32_t kLeastApart = 128;  // for less a step of its own does not pay
  const uint32_t kept = sequence.blocks.states.last_kept();
  const uint32_t next = std::max(sequence.computed + 1, kept > 0 ? kept + kLeastApart : 0);
  const auto fork = std::ranges::lower_bound(sequence.forks, next);
  if (fork != sequence.forks.end() && *fork <= end) return *fork - sequence.computed;
  const uint32_t whole = end / kBlockTokens * kBlockTokens;
  return end < sequence.size() && whole > sequence.computed ? whole - sequence.computed : tokens;
}

/// Whether a running prompt computes more of what this one begins with than the `cached` tokens. A state can only be
/// taken over where one is kept.
bool Scheduler::comes_from_another(const Sequence& sequence, uint32_t cached) const {
  const uint32_t end = sequence.first_logit_position() / kBlockTokens;
  const uint32_t next = cached / kBlockTokens;
  const uint32_t last = cache_.keeps_states() ? end : std::min(end, next + 1);
  for (uint32_t block = next; block < last; ++block) {
    if (blocks_to_come_.contains(sequence.hashes[block])) return true;
  }
  return false;
}

void Scheduler::account_for_prompt(const Sequence& sequence, uint32_t token_count) {
  prompt_budget_ -= token_count;
  if (waiting_.empty()) return;
  if (cache_.keeps_states()) {
    for (const uint32_t fork : sequence.forks) {
      const bool is_known = fork / kBlockTokens <= sequence.hashes.size();
      if (fork > sequence.computed && is_known) blocks_to_come_.insert(sequence.hashes[fork / kBlockTokens - 1]);
    }
    return;
  }
  const auto unpublished = sequence.hashes.begin() +
                           static_cast<ptrdiff_t>(std::min<size_t>(sequence.blocks.published, sequence.hashes.size()));
  blocks_to_come_.insert(unpublished, sequence.hashes.end());
}

void Scheduler::commit(const ScheduledSequence& scheduled) {
  Sequence& sequence = *scheduled.sequence;
  const StepRows& rows = scheduled.rows;
  const uint32_t known = scheduled.context_tokens + rows.known();
  const uint32_t right = right_drafts(sequence, known, std::span(sequence.drafts).first(rows.verify));
  if (rows.decode > 0) sequence.is_decoding = true;
  if (sequence.next_prompt_logits != Sequence::kNoPromptLogits) {
    sequence.next_prompt_logits = std::max(sequence.next_prompt_logits, known + right);
  }
  sequence.drafts.clear();
  const bool goes_back = right < rows.verify && cache_.keeps_states();
  sequence.computed = goes_back ? scheduled.context_tokens : known + right;
  if (!limits_.prefix_cache || sequence.computed / kBlockTokens == sequence.blocks.published) return;
  extend_hashes(sequence, sequence.computed);
  cache_.publish(sequence.blocks, sequence.hashes, sequence.computed, sequence.prompt_tokens);
}

/// A position whose logits are wanted is computed again.
uint32_t Scheduler::cached_prefix(Sequence& sequence) const {
  if (!limits_.prefix_cache) return 0;
  extend_hashes(sequence, sequence.size());
  return cache_.cached_prefix(sequence.hashes, sequence.first_logit_position());
}

void Scheduler::extend_hashes(Sequence& sequence, uint32_t tokens) const {
  while ((sequence.hashes.size() + 1) * kBlockTokens <= tokens) {
    const size_t block = sequence.hashes.size();
    const BlockHash& parent = block == 0 ? sequence.root : sequence.hashes[block - 1];
    const std::span<const int32_t> block_tokens{&sequence.tokens[block * kBlockTokens], kBlockTokens};
    sequence.hashes.push_back(next_hash(hash_key_, parent, block_tokens));
  }
}

}  // namespace hearth
