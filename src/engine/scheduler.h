#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <unordered_set>
#include <vector>

#include "engine/cache/block_hash.h"
#include "engine/cache/kv_cache.h"
#include "engine/fair_shares.h"
#include "engine/sequence.h"
#include "engine/step_size.h"

namespace hearth {

struct SchedulerLimits {
  uint32_t max_sequences = 64;
  uint32_t max_batched_tokens = 512;  ///< of a step; at least max_sequences
  uint32_t more_logit_rows = 64;      ///< of a step, beside one for each sequence: for drafts and logprobs of prompts
  bool prefix_cache = true;
};

/// A sequence's rows of a step by their roles, in this order.
struct StepRows {
  uint32_t prompt = 0;  ///< tokens that only have to be remembered, of prompts and of what is computed again
  uint32_t decode = 0;  ///< 0 or 1: the last token that is known; its logits give the next one
  uint32_t verify = 0;  ///< drafts; the logits of each give the next token if it and those before it were right

  uint32_t known() const { return prompt + decode; }
  uint32_t choices() const { return decode + verify; }
  uint32_t count() const { return known() + verify; }
};

/// What one sequence brings to a step: rows behind the first `context_tokens`, and logits of the last `logit_count` of
/// them, whole or the best `candidates`.
struct ScheduledSequence {
  Sequence* sequence = nullptr;
  uint32_t context_tokens = 0;
  StepRows rows;
  uint32_t logit_count = 0;  ///< rows.choices(), and those of prompts whose logprobs are wanted
  uint32_t candidates = 0;
  uint32_t row_before = 0;  ///< of the logits of the step before: the first token where the sequence ends before it
};

/// What the step computes, also of sequences that have been removed meanwhile.
StepLoad load_of(std::span<const ScheduledSequence> step);

/// Decides what each step computes. There is no prefill phase and no decode phase: every sequence wants its remaining
/// tokens computed, usually one, or a whole prompt in the beginning, and perhaps drafts behind them verified.
///
/// Answers come first, with a row each whatever happens, then prompts, those that run and those that wait in one order:
/// by priority, then by when fair shares would have them done (FairShares). Where a user's answers have fallen behind
/// the user's share, a step is for such users alone. When all sequences run that may, a user who has more of them than
/// another one gives a place to that one's waiting request. A sequence that needs a KV block when none is free takes
/// those of another one, which waits and later recomputes them: of the lowest priority, then of the user who has most,
/// then the youngest, never one that is older in the same step; so somebody always gets on. A request whose prompt
/// starts like one that is being computed waits for those blocks instead of computing them again.
///
/// Drafts take part as far as half of what the answers leave of a step goes, and nobody loses blocks for them. Where
/// some turn out wrong, the positions behind the right ones are written over later; but a state cannot be cut, so a
/// sequence that has one goes back to the state before the step, which verifying leaves as it was, and computes the
/// right tokens again together with its next one, this time without drafts, so that it gets on.
///
/// Knows nothing of devices, text or clients. For one thread; sequences must stay where they are until removed.
class Scheduler {
 public:
  Scheduler(const SchedulerLimits& limits, KvCache& cache, const HashKey& hash_key);

  /// Puts a new sequence of `user`, of at least one token, among the waiting ones.
  void add(Sequence& sequence, const User& user = {});

  /// Takes a sequence out, wherever it is, and frees its blocks.
  void remove(Sequence& sequence);

  /// How many tokens of prompts a step takes, given what it may be made of. Limits hold besides.
  using ChoosePromptTokens = std::function<uint32_t(const StepOutlook&)>;

  /// The next step. Empty only when nothing runs or waits. Valid until the next call.
  const std::vector<ScheduledSequence>& schedule(const ChoosePromptTokens& choose_prompt_tokens);

  /// The step after `in_flight`, a step that is not committed yet: the next token of every running sequence, which is
  /// the best candidate of its row there. Entries of `in_flight` without a sequence are those that were removed. Empty
  /// when that is not what schedule() will come to: a prompt is being computed or may be admitted, or blocks are
  /// missing. Valid until the next call.
  const std::vector<ScheduledSequence>& schedule_ahead(std::span<const ScheduledSequence> in_flight);

  /// All that was computed is lost: what runs waits again, to be computed from its tokens. Gives those that ran.
  std::vector<Sequence*> forget_computed();

  /// The step's rows of this sequence are computed, and what they gave is appended to its tokens: those that belong to
  /// it are in the cache, and the prefix cache may know of them. Drafts belong to it as far as they were appended.
  void commit(const ScheduledSequence& scheduled);

  /// A step took `seconds`: who has fallen behind whom? To be called before its sequences are committed.
  void settle(std::span<const ScheduledSequence> step, double seconds, const StepCost& cost);

  size_t running() const { return running_.size(); }
  size_t waiting() const { return waiting_.size(); }
  uint64_t waiting_tokens() const;  ///< to be computed before all that wait have their first tokens
  bool has_work() const { return !running_.empty() || !waiting_.empty(); }

  uint64_t preemptions() const { return preemptions_; }
  uint64_t prefix_queries() const { return prefix_queries_; }  ///< tokens looked up
  uint64_t prefix_hits() const { return prefix_hits_; }        ///< tokens found

 private:
  enum class Admission { admitted, deferred, no_room };

  void compose(const ChoosePromptTokens& choose_prompt_tokens);
  void begin_step();
  bool takes_part(const Sequence& sequence) const;
  bool is_running(const Sequence& sequence) const;
  Sequence* successor_of(const Sequence& last) const;
  void give_place();
  bool someone_waits_for_a_step() const;
  void plan_answers();
  uint32_t drafts_to_verify(const Sequence& sequence, uint32_t most) const;
  StepOutlook outlook() const;
  void continue_decoding(ScheduledSequence answer);
  void continue_prompt(Sequence& sequence);
  KvCache::Growth growth(const Sequence& sequence, uint32_t context_tokens, const StepRows& rows) const;
  bool make_room(Sequence& sequence, uint32_t token_count);
  bool may_be_admitted(const Sequence& sequence) const;
  Admission admit(Sequence& sequence);
  void preempt(Sequence& sequence);
  void send_back(Sequence& sequence);
  uint32_t chunk_tokens(const Sequence& sequence) const;
  uint32_t chunk_to_keep(const Sequence& sequence, uint32_t tokens) const;
  bool comes_from_another(const Sequence& sequence, uint32_t cached) const;
  void put_into_step(Sequence& sequence, const StepRows& rows);
  void account_for_prompt(const Sequence& sequence, uint32_t token_count);
  void extend_hashes(Sequence& sequence, uint32_t tokens) const;
  uint32_t cached_prefix(Sequence& sequence) const;

  const SchedulerLimits limits_;
  KvCache& cache_;
  const HashKey hash_key_;
  FairShares shares_;
  std::vector<Sequence*> running_;  ///< by arrival
  std::vector<Sequence*> waiting_;  ///< likewise

  // Of the step that is being made.
  std::vector<ScheduledSequence> step_;
  std::vector<ScheduledSequence> answers_;                         ///< what they bring if they get blocks, by arrival
  std::vector<Sequence*> prompts_;                                 ///< in their order, running and waiting
  bool for_those_behind_ = false;                                  ///< not for everybody
  const UserShare* place_for_ = nullptr;                           ///< a place that was given to this user
  std::unordered_set<BlockHash, BlockHashHasher> blocks_to_come_;  ///< of running prompts, not yet computed
  uint64_t preemptions_before_ = 0;                                ///< of those that it makes for lack of blocks
  uint32_t prompt_budget_ = 0;                                     ///< tokens
  uint32_t logit_rows_budget_ = 0;                                 ///< beside one for each sequence

  uint64_t preemptions_ = 0;
  uint64_t prefix_queries_ = 0;
  uint64_t prefix_hits_ = 0;
};

}  // namespace hearth
