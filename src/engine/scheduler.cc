#include "engine/scheduler.h"

#include <algorithm>

#include "device/step.h"

namespace hearth {
namespace {

void insert_by_arrival(std::vector<Sequence*>& sequences, Sequence& sequence) {
  const auto behind = [&](const Sequence* other) { return other->arrival < sequence.arrival; };
  sequences.insert(std::partition_point(sequences.begin(), sequences.end(), behind), &sequence);
}

}  // namespace

Scheduler::Scheduler(const SchedulerLimits& limits, KvCache& cache, const HashKey& hash_key)
    : limits_(limits), cache_(cache), hash_key_(hash_key) {}

void Scheduler::add(Sequence& sequence) { insert_by_arrival(waiting_, sequence); }

void Scheduler::remove(Sequence& sequence) {
  std::erase(running_, &sequence);
  std::erase(waiting_, &sequence);
  cache_.release(sequence.blocks);
}

const std::vector<ScheduledSequence>& Scheduler::schedule(uint32_t prompt_tokens) {
  begin_step(prompt_tokens);
  // Preemption takes sequences from the end, which this loop has not reached.
  for (size_t next = 0; next < running_.size();) continue_running(*running_[next++]);
  admit_waiting();
  return step_;
}

const std::vector<ScheduledSequence>& Scheduler::schedule_ahead(std::span<const ScheduledSequence> in_flight) {
  step_.clear();
  if (!waiting_.empty() && running_.size() < limits_.max_sequences) return step_;
  std::vector<ScheduledSequence> next;
  uint32_t row = 0;
  for (const ScheduledSequence& before : in_flight) {
    row += before.logit_count;
    if (before.sequence == nullptr) continue;
    const uint32_t position = before.context_tokens + before.token_count;
    if (position != before.sequence->size() || !cache_.grow(before.sequence->blocks, position, position + 1)) {
      return step_;
    }
    next.push_back({.sequence = before.sequence,
                    .context_tokens = position,
                    .token_count = 1,
                    .logit_count = 1,
                    .candidates = before.candidates,
                    .row_before = row - 1});
  }
  if (next.size() == running_.size()) step_ = std::move(next);
  return step_;
}

void Scheduler::begin_step(uint32_t prompt_tokens) {
  step_.clear();
  blocks_to_come_.clear();
  const auto decoding = static_cast<uint32_t>(
      std::ranges::count_if(running_, [](const Sequence* sequence) { return sequence->remaining() == 1; }));
  const bool shared = running_.size() + waiting_.size() > 1;
  prompt_budget_ = std::min(limits_.max_batched_tokens - decoding,
                            shared ? limits_.shared_prompt_tokens : limits_.max_batched_tokens);
  if (decoding > 0) prompt_budget_ = std::min(prompt_budget_, prompt_tokens);
  prompt_rows_budget_ = limits_.prompt_logit_rows;
  long_prompt_tokens_ = 4 * prompt_budget_;
  prompts_to_come_ = running_.size() - decoding + waiting_.size();
}

void Scheduler::continue_running(Sequence& sequence) {
  const bool is_decoding = sequence.remaining() == 1;
  const uint32_t token_count = is_decoding ? 1 : chunk_tokens(sequence);
  if (token_count > 0) {
    while (!cache_.grow(sequence.blocks, sequence.computed, sequence.computed + token_count)) {
      Sequence& youngest = *running_.back();
      preempt(youngest);
      if (&youngest == &sequence) return;
    }
    put_into_step(sequence, token_count);
  }
  if (!is_decoding) account_for_prompt(sequence, token_count);
}

void Scheduler::admit_waiting() {
  for (size_t i = 0; i < waiting_.size() && running_.size() < limits_.max_sequences && prompt_budget_ > 0;) {
    Sequence& sequence = *waiting_[i];
    const Admission admission = admit(sequence);
    if (admission == Admission::no_room) return;  // nobody overtakes it, or a large request would wait for ever
    if (admission == Admission::deferred) {
      ++i;
      continue;
    }
    waiting_.erase(waiting_.begin() + static_cast<ptrdiff_t>(i));
    insert_by_arrival(running_, sequence);
  }
}

Scheduler::Admission Scheduler::admit(Sequence& sequence) {
  uint32_t cached = 0;
  if (limits_.prefix_cache) {
    const uint32_t useful = sequence.first_logit_position();  // a position whose logits are wanted is computed again
    extend_hashes(sequence, sequence.size());
    cached = cache_.cached_prefix(sequence.hashes, useful);
    const uint32_t next = cached / kBlockTokens;
    if (cached + kBlockTokens <= useful && blocks_to_come_.contains(sequence.hashes[next])) return Admission::deferred;
  }

  cache_.adopt_prefix(sequence.blocks, sequence.hashes, cached);
  // Those that run will soon want a block each: without them in reserve this one would be preempted at once.
  const auto headroom = static_cast<uint32_t>(running_.size());
  if (!cache_.has_room(sequence.blocks, sequence.size(), limits_.max_batched_tokens, headroom)) {
    cache_.release(sequence.blocks);
    return Admission::no_room;
  }
  sequence.computed = cached;
  if (!sequence.cached) {
    sequence.cached = cached;
    prefix_queries_ += sequence.size();
    prefix_hits_ += cached;
  }
  const uint32_t token_count = chunk_tokens(sequence);
  cache_.grow(sequence.blocks, cached, cached + token_count, sequence.size());
  put_into_step(sequence, token_count);
  account_for_prompt(sequence, token_count);
  return Admission::admitted;
}

void Scheduler::preempt(Sequence& sequence) {
  std::erase(running_, &sequence);
  cache_.release(sequence.blocks);
  sequence.computed = 0;
  insert_by_arrival(waiting_, sequence);
  ++preemptions_;
}

uint32_t Scheduler::chunk_tokens(const Sequence& sequence) const {
  uint32_t tokens = std::min(sequence.remaining(), prompt_budget_);
  if (sequence.remaining() > long_prompt_tokens_ && prompts_to_come_ > 1) {
    tokens = std::min(tokens, std::max(prompt_budget_ / 2, kBlockTokens));
  }
  const uint32_t before_logits = std::max(sequence.first_logit_position(), sequence.computed) - sequence.computed;
  return std::min(tokens, before_logits + 1 + prompt_rows_budget_);
}

void Scheduler::put_into_step(Sequence& sequence, uint32_t token_count) {
  const uint32_t end = sequence.computed + token_count;
  const uint32_t first_logits = std::max(sequence.first_logit_position(), sequence.computed);
  const uint32_t logit_count = end > first_logits ? end - first_logits : 0;
  step_.push_back({.sequence = &sequence,
                   .context_tokens = sequence.computed,
                   .token_count = token_count,
                   .logit_count = logit_count,
                   .candidates = sequence.candidates});
  prompt_rows_budget_ -= logit_count > 1 ? logit_count - 1 : 0;
}

void Scheduler::account_for_prompt(const Sequence& sequence, uint32_t token_count) {
  prompt_budget_ -= token_count;
  --prompts_to_come_;
  if (waiting_.empty()) return;
  const auto unpublished = sequence.hashes.begin() +
                           static_cast<ptrdiff_t>(std::min<size_t>(sequence.blocks.published, sequence.hashes.size()));
  blocks_to_come_.insert(unpublished, sequence.hashes.end());
}

void Scheduler::commit(const ScheduledSequence& scheduled) {
  Sequence& sequence = *scheduled.sequence;
  sequence.computed += scheduled.token_count;
  if (sequence.next_prompt_logits != Sequence::kNoPromptLogits) {
    sequence.next_prompt_logits = std::max(sequence.next_prompt_logits, sequence.computed);
  }
  if (!limits_.prefix_cache || sequence.computed / kBlockTokens == sequence.blocks.published) return;
  extend_hashes(sequence, sequence.computed);
  cache_.publish(sequence.blocks, sequence.hashes, sequence.computed);
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
