#pragma once

#include <cstdint>
#include <limits>
#include <span>
#include <unordered_set>
#include <vector>

#include "engine/block_hash.h"
#include "engine/kv_cache.h"
#include "engine/sequence.h"

namespace hearth {

struct SchedulerLimits {
  uint32_t max_sequences = 64;
  uint32_t max_batched_tokens = 512;    ///< of a step; at least max_sequences
  uint32_t shared_prompt_tokens = 128;  ///< of a step, while more than one request is there
  uint32_t prompt_logit_rows = 64;      ///< of a step, beside one for each sequence
  bool prefix_cache = true;
};

/// What one sequence does in a step: `token_count` tokens behind the first `context_tokens`, and logits of the last
/// `logit_count` of them, whole or the best `candidates`.
struct ScheduledSequence {
  Sequence* sequence = nullptr;
  uint32_t context_tokens = 0;
  uint32_t token_count = 0;
  uint32_t logit_count = 0;
  uint32_t candidates = 0;
  uint32_t row_before = 0;  ///< of the logits of the step before: the first token where the sequence ends before it
};

/// Decides what each step computes. There is no prefill phase and no decode phase: every sequence wants its remaining
/// tokens computed, usually one, or a whole prompt in the beginning.
///
/// Running sequences come first, oldest first, then waiting ones as they arrived. A sequence that needs a KV block when
/// none is free takes those of the youngest running one, which waits and later recomputes them; so the oldest always
/// gets on. While several requests are there, a step takes few tokens of prompts: first tokens come as prompts finish,
/// and decoding ones wait little. Prompts of many steps leave half of what remains to those behind them. A request
/// whose prompt starts like one that is being computed waits for those blocks instead of computing them again.
///
/// Knows nothing of devices, text or clients. For one thread; sequences must stay where they are until removed.
class Scheduler {
 public:
  Scheduler(const SchedulerLimits& limits, KvCache& cache, const HashKey& hash_key);

  /// Puts a new sequence, of at least one token, behind the waiting ones.
  void add(Sequence& sequence);

  /// Takes a sequence out, wherever it is, and frees its blocks.
  void remove(Sequence& sequence);

  /// The next step, with at most `prompt_tokens` tokens of prompts if sequences decode in it, beside the limits. Empty
  /// only when nothing runs or waits. Valid until the next call.
  const std::vector<ScheduledSequence>& schedule(uint32_t prompt_tokens = std::numeric_limits<uint32_t>::max());

  /// The step after `in_flight`, a step that is not committed yet: the next token of every running sequence, which is
  /// the best candidate of its row there. Entries of `in_flight` without a sequence are those that were removed. Empty
  /// when that is not what schedule() will come to: a prompt is being computed or may be admitted, or blocks are
  /// missing. Valid until the next call.
  const std::vector<ScheduledSequence>& schedule_ahead(std::span<const ScheduledSequence> in_flight);

  /// The step's tokens of this sequence are computed: they are in the cache, and the prefix cache may know of them.
  void commit(const ScheduledSequence& scheduled);

  size_t running() const { return running_.size(); }
  size_t waiting() const { return waiting_.size(); }
  bool has_work() const { return !running_.empty() || !waiting_.empty(); }

  uint64_t preemptions() const { return preemptions_; }
  uint64_t prefix_queries() const { return prefix_queries_; }  ///< tokens looked up
  uint64_t prefix_hits() const { return prefix_hits_; }        ///< tokens found

 private:
  enum class Admission { admitted, deferred, no_room };

  void begin_step(uint32_t prompt_tokens);
  void continue_running(Sequence& sequence);
  void admit_waiting();
  Admission admit(Sequence& sequence);
  void preempt(Sequence& sequence);
  uint32_t chunk_tokens(const Sequence& sequence) const;
  void put_into_step(Sequence& sequence, uint32_t token_count);
  void account_for_prompt(const Sequence& sequence, uint32_t token_count);
  void extend_hashes(Sequence& sequence, uint32_t tokens) const;

  const SchedulerLimits limits_;
  KvCache& cache_;
  const HashKey hash_key_;
  std::vector<Sequence*> running_;  ///< both by arrival
  std::vector<Sequence*> waiting_;

  // Of the step that is being made.
  std::vector<ScheduledSequence> step_;
  std::unordered_set<BlockHash, BlockHashHasher> blocks_to_come_;  ///< of running prompts, not yet computed
  uint32_t prompt_budget_ = 0;                                     ///< tokens
  uint32_t prompt_rows_budget_ = 0;
  uint32_t long_prompt_tokens_ = 0;  ///< from here on a prompt leaves room for others
  size_t prompts_to_come_ = 0;

  uint64_t preemptions_ = 0;
  uint64_t prefix_queries_ = 0;
  uint64_t prefix_hits_ = 0;
};

}  // namespace hearth
