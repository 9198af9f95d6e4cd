#include "engine/scheduler.h"

#include <algorithm>
#include <iterator>
#include <tuple>
#include <unordered_map>
#include <utility>

#include "device/step.h"

namespace hearth {
namespace {

void insert_by_arrival(std::vector<Sequence*>& sequences, Sequence& sequence) {
  const auto behind = [&](const Sequence* other) { return other->arrival < sequence.arrival; };
  sequences.insert(std::partition_point(sequences.begin(), sequences.end(), behind), &sequence);
}

bool comes_before(const Sequence* a, const Sequence* b) {
  return std::tuple(a->priority, a->finish, a->arrival) < std::tuple(b->priority, b->finish, b->arrival);
}

/// Which of two loses its blocks first.
bool yields_to(const Sequence* a, const Sequence* b) {
  return std::tuple(a->priority, a->share->running_by_weight(), a->arrival) >
         std::tuple(b->priority, b->share->running_by_weight(), b->arrival);
}

void add_to(StepLoad& load, const ScheduledSequence& scheduled) {
  const StepRows& rows = scheduled.rows;
  load.add_prompt(scheduled.context_tokens, rows.prompt);
  load.add_decoding(scheduled.context_tokens + rows.prompt, rows.choices());
}

/// The next `token_count` of a sequence's known tokens.
StepRows known_rows(const Sequence& sequence, uint32_t token_count) {
  const uint32_t decode = token_count == sequence.remaining() ? 1 : 0;
  return {.prompt = token_count - decode, .decode = decode};
}

}  // namespace

StepLoad load_of(std::span<const ScheduledSequence> step) {
  StepLoad load;
  for (const ScheduledSequence& scheduled : step) add_to(load, scheduled);
  return load;
}

Scheduler::Scheduler(const SchedulerLimits& limits, KvCache& cache, const HashKey& hash_key)
    : limits_(limits), cache_(cache), hash_key_(hash_key) {}

void Scheduler::add(Sequence& sequence, const User& user) {
  sequence.share = &shares_.enter(user);
  sequence.finish = shares_.finish_of(*sequence.share, sequence.size() - cached_prefix(sequence));
  insert_by_arrival(waiting_, sequence);
}

void Scheduler::remove(Sequence& sequence) {
  if (std::erase(running_, &sequence) > 0) --sequence.share->running;
  std::erase(waiting_, &sequence);
  cache_.release(sequence.blocks);
  shares_.leave(*sequence.share);
}

uint64_t Scheduler::waiting_tokens() const {
  uint64_t tokens = 0;
  for (const Sequence* sequence : waiting_) tokens += sequence->size();
  for (const Sequence* sequence : running_) tokens += sequence->is_decoding ? 0 : sequence->remaining();
  return tokens;
}

const std::vector<ScheduledSequence>& Scheduler::schedule(const ChoosePromptTokens& choose_prompt_tokens) {
  for_those_behind_ = shares_.someone_is_behind();
  compose(choose_prompt_tokens);
  if (step_.empty() && for_those_behind_) {  // they wait for what others hold or compute
    for_those_behind_ = false;
    compose(choose_prompt_tokens);
  }
  uint32_t prompt_tokens = 0;
  for (const ScheduledSequence& scheduled : step_) {
    prompt_tokens += scheduled.sequence->is_decoding ? 0 : scheduled.rows.count();
  }
  shares_.advance(prompt_tokens);
  return step_;
}

void Scheduler::compose(const ChoosePromptTokens& choose_prompt_tokens) {
  begin_step();
  const StepOutlook ahead = outlook();
  prompt_budget_ = std::min(choose_prompt_tokens(ahead), limits_.max_batched_tokens - ahead.decoding.tokens);
  for (const ScheduledSequence& answer : answers_) continue_decoding(answer);
  bool has_room = true;
  for (Sequence* sequence : prompts_) {
    if (is_running(*sequence)) {
      continue_prompt(*sequence);
    } else if (has_room && may_be_admitted(*sequence)) {
      // Nobody is admitted before one that has no room, or a large request would wait for ever.
      has_room = admit(*sequence) != Admission::no_room;
    }
  }
}

const std::vector<ScheduledSequence>& Scheduler::schedule_ahead(std::span<const ScheduledSequence> in_flight) {
  step_.clear();
  if (shares_.someone_is_behind()) return step_;
  if (someone_waits_for_a_step()) return step_;
  std::vector<ScheduledSequence> next;
  uint32_t row = 0;
  for (const ScheduledSequence& before : in_flight) {
    row += before.logit_count;
    if (before.sequence == nullptr) continue;
    // Behind drafts nobody knows yet where the sequence goes on.
    const uint32_t position = before.context_tokens + before.rows.count();
    constexpr StepRows kNext = {.decode = 1};
    if (position != before.sequence->size() ||
        !cache_.grow(before.sequence->blocks, growth(*before.sequence, position, kNext))) {
      return step_;
    }
    next.push_back({.sequence = before.sequence,
                    .context_tokens = position,
                    .rows = kNext,
                    .logit_count = 1,
                    .candidates = before.candidates,
                    .row_before = row - 1});
  }
  if (next.size() == running_.size()) step_ = std::move(next);
  return step_;
}

void Scheduler::begin_step() {
  step_.clear();
  blocks_to_come_.clear();
  answers_.clear();
  prompts_.clear();
  place_for_ = nullptr;
  logit_rows_budget_ = limits_.more_logit_rows;
  give_place();
  preemptions_before_ = preemptions_;
  for (Sequence* sequence : running_) {
    if (!takes_part(*sequence)) continue;
    if (sequence->is_decoding) {
      answers_.push_back({.sequence = sequence, .context_tokens = sequence->computed});
    } else {
      prompts_.push_back(sequence);
    }
  }
  plan_answers();
  std::ranges::copy_if(waiting_, std::back_inserter(prompts_), [&](const Sequence* s) { return takes_part(*s); });
  std::ranges::sort(prompts_, comes_before);
}

bool Scheduler::takes_part(const Sequence& sequence) const {
  return !for_those_behind_ || sequence.share->behind_seconds > 0;
}

bool Scheduler::is_running(const Sequence& sequence) const {
  return std::ranges::binary_search(running_, sequence.arrival, {}, &Sequence::arrival);
}

/// The waiting sequence that a running one leaves its place to, where all places are taken: of a user who has so few
/// of them, beside the one who has most, that it is fair even when it has changed hands. Nothing where there is none.
Sequence* Scheduler::successor_of(const Sequence& last) const {
  const double left = (last.share->running - 1) / last.share->user.weight;
  const auto deserves = [&](const Sequence* sequence) {
    const UserShare& share = *sequence->share;
    return sequence->priority <= last.priority && share.running < share.user.max_running &&
           (share.running + 1) / share.user.weight <= left;
  };
  const auto found = std::ranges::find_if(waiting_, deserves);
  return found == waiting_.end() ? nullptr : *found;
}

void Scheduler::give_place() {
  if (running_.size() < limits_.max_sequences || waiting_.empty()) return;
  Sequence& last = **std::ranges::min_element(running_, yields_to);
  const Sequence* successor = successor_of(last);
  if (successor == nullptr) return;
  place_for_ = successor->share;
  preempt(last);
}

bool Scheduler::someone_waits_for_a_step() const {
  if (waiting_.empty() || running_.empty()) return !waiting_.empty();
  if (running_.size() == limits_.max_sequences) {
    return successor_of(**std::ranges::min_element(running_, yields_to)) != nullptr;
  }
  return std::ranges::any_of(
      waiting_, [](const Sequence* sequence) { return sequence->share->running < sequence->share->user.max_running; });
}

/// A row for each answer, then for what wrong drafts let some compute again, then for drafts, of which prompts should
/// not notice much.
void Scheduler::plan_answers() {
  auto room = limits_.max_batched_tokens - static_cast<uint32_t>(answers_.size());
  for (ScheduledSequence& answer : answers_) {
    const uint32_t token_count = std::min(answer.sequence->remaining(), 1 + room);
    answer.rows = known_rows(*answer.sequence, token_count);
    room -= token_count - 1;
  }
  uint32_t draft_room = room / 2;
  for (ScheduledSequence& answer : answers_) {
    answer.rows.verify = drafts_to_verify(*answer.sequence, std::min(draft_room, logit_rows_budget_));
    draft_room -= answer.rows.verify;
    logit_rows_budget_ -= answer.rows.verify;
  }
}

/// None behind tokens that are computed again, and where states are kept none behind the next place for one, which
/// would be missed.
uint32_t Scheduler::drafts_to_verify(const Sequence& sequence, uint32_t most) const {
  if (sequence.remaining() > 1) return 0;
  if (limits_.prefix_cache && cache_.keeps_states()) {
    most = std::min(most, kBlockTokens - 1 - sequence.computed % kBlockTokens);
  }
  return std::min(most, static_cast<uint32_t>(sequence.drafts.size()));
}

StepOutlook Scheduler::outlook() const {
  StepOutlook ahead;
  ahead.is_alone = running_.size() + waiting_.size() == 1;
  ahead.decoding = load_of(answers_);
  for (const Sequence* sequence : prompts_) ahead.prompt_tokens += sequence->remaining();
  if (!prompts_.empty()) ahead.prompt_context = prompts_.front()->computed;
  return ahead;
}

void Scheduler::continue_decoding(ScheduledSequence answer) {
  Sequence& sequence = *answer.sequence;
  if (!is_running(sequence)) return;
  if (answer.rows.verify > 0 && !cache_.grow(sequence.blocks, growth(sequence, sequence.computed, answer.rows))) {
    logit_rows_budget_ += std::exchange(answer.rows.verify, 0);
  }
  if (answer.rows.verify > 0 || make_room(sequence, answer.rows.known())) put_into_step(sequence, answer.rows);
}

void Scheduler::continue_prompt(Sequence& sequence) {
  const uint32_t token_count = chunk_tokens(sequence);
  if (token_count > 0) {
    if (!make_room(sequence, token_count)) return;
    put_into_step(sequence, known_rows(sequence, token_count));
  }
  account_for_prompt(sequence, token_count);
}

/// False when the sequence itself had to give its blocks up.
bool Scheduler::make_room(Sequence& sequence, uint32_t token_count) {
  while (!cache_.grow(sequence.blocks, growth(sequence, sequence.computed, known_rows(sequence, token_count)))) {
    Sequence* first_to_yield = &sequence;
    for (Sequence* other : running_) {
      const bool is_in_step = std::ranges::find(step_, other, &ScheduledSequence::sequence) != step_.end();
      if (!is_in_step && yields_to(other, first_to_yield)) first_to_yield = other;
    }
    preempt(*first_to_yield);
    if (first_to_yield == &sequence) return false;
  }
  return true;
}

bool Scheduler::may_be_admitted(const Sequence& sequence) const {
  const UserShare& share = *sequence.share;
  const bool lacks_blocks = preemptions_ > preemptions_before_;  // then who lost some would be overtaken
  return !lacks_blocks && prompt_budget_ > 0 && running_.size() < limits_.max_sequences &&
         share.running < share.user.max_running && (place_for_ == nullptr || place_for_ == &share);
}

Scheduler::Admission Scheduler::admit(Sequence& sequence) {
  uint32_t cached = 0;
  if (limits_.prefix_cache) {
    cached = cached_prefix(sequence);
    if (comes_from_another(sequence, cached)) return Admission::deferred;
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
  std::erase(waiting_, &sequence);
  insert_by_arrival(running_, sequence);
  ++sequence.share->running;
  const uint32_t token_count = chunk_tokens(sequence);
  const StepRows rows = known_rows(sequence, token_count);
  KvCache::Growth room = growth(sequence, cached, rows);
  room.reserved_tokens = sequence.size();
  cache_.grow(sequence.blocks, room);
  put_into_step(sequence, rows);
  account_for_prompt(sequence, token_count);
  return Admission::admitted;
}

void Scheduler::preempt(Sequence& sequence) {
  send_back(sequence);
  ++preemptions_;
}

std::vector<Sequence*> Scheduler::forget_computed() {
  const std::vector<Sequence*> ran = running_;
  for (Sequence* sequence : ran) send_back(*sequence);
  return ran;
}

/// To those that wait, without its blocks.
void Scheduler::send_back(Sequence& sequence) {
  std::erase(running_, &sequence);
  --sequence.share->running;
  cache_.release(sequence.blocks);
  sequence.computed = 0;
  sequence.is_decoding = false;
  insert_by_arrival(waiting_, sequence);
}

uint32_t Scheduler::chunk_tokens(const Sequence& sequence) const {
  const uint32_t tokens = std::min(sequence.remaining(), prompt_budget_);
  const uint32_t before_logits = std::max(sequence.first_logit_position(), sequence.computed) - sequence.computed;
  return chunk_to_keep(sequence, std::min(tokens, before_logits + 1 + logit_rows_budget_));
}

void Scheduler::put_into_step(Sequence& sequence, const StepRows& rows) {
  const uint32_t end = sequence.computed + rows.known();
  const uint32_t first_logits = std::max(sequence.first_logit_position(), sequence.computed);
  const uint32_t known_logits = end > first_logits ? end - first_logits : 0;
  step_.push_back({.sequence = &sequence,
                   .context_tokens = sequence.computed,
                   .rows = rows,
                   .logit_count = known_logits + rows.verify,
                   .candidates = sequence.candidates});
  logit_rows_budget_ -= known_logits > 1 ? known_logits - 1 : 0;
}

void Scheduler::settle(std::span<const ScheduledSequence> step, double seconds, const StepCost& cost) {
  if (shares_.users() < 2) return;
  struct Work {
    StepLoad load;
    bool decodes = false;
  };
  std::unordered_map<const UserShare*, Work> works;
  for (const ScheduledSequence& scheduled : step) {
    if (scheduled.sequence != nullptr) add_to(works[scheduled.sequence->share].load, scheduled);
  }
  for (const Sequence* sequence : running_) {
    Work& work = works[sequence->share];
    work.decodes = work.decodes || sequence->size() > sequence->prompt_tokens;
  }
  for (auto& [id, share] : shares_.shares()) {
    const auto work = works.find(&share);
    if (work == works.end() || !work->second.decodes) {
      share.behind_seconds = 0;
      continue;
    }
    const StepLoad& load = work->second.load;
    const auto alone = load.tokens > 0 ? cost.estimate(load) : StepCost::Estimate{};
    if (alone) shares_.settle(share, seconds, alone->likely);
  }
}

}  // namespace hearth
