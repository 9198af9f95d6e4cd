#pragma once

#include <gtest/gtest.h>

#include <map>
#include <memory>
#include <vector>

#include "engine/scheduler.h"

namespace hearth {

/// A scheduler with sequences whose answers are all zeros, so that drafts are right as far as they are.
class SchedulerTest : public testing::Test {
 protected:
  static constexpr HashKey kHashKey = {1, 2};

  void use(uint32_t blocks, SchedulerLimits limits, const std::vector<CacheGroup>& groups = {{.window = 0}}) {
    limits_ = limits;
    cache_ = std::make_unique<KvCache>(groups, std::vector<uint32_t>(groups.size(), blocks));
    scheduler_ = std::make_unique<Scheduler>(limits, *cache_, kHashKey);
  }

  Sequence& add(uint32_t prompt_tokens, int32_t first_token = -1, const User& user = {}) {
    Sequence& sequence = sequences_[++arrivals_];
    sequence.arrival = arrivals_;
    // Different prompts unless the first token says otherwise.
    sequence.tokens.assign(prompt_tokens, first_token >= 0 ? first_token : 1000 + static_cast<int32_t>(arrivals_));
    sequence.prompt_tokens = prompt_tokens;
    sequence.root = root_hash(kHashKey, "");
    scheduler_->add(sequence, user);
    return sequence;
  }

  const std::vector<ScheduledSequence>& schedule(uint32_t prompt_tokens = 1U << 30) {
    return scheduler_->schedule([&](const StepOutlook&) { return prompt_tokens; });
  }

  /// One step; returns what it computed, by arrival.
  std::map<uint64_t, ScheduledSequence> step(uint32_t prompt_tokens = 1U << 30) {
    std::map<uint64_t, ScheduledSequence> result;
    uint32_t tokens = 0, more_logits = 0;
    for (const ScheduledSequence& scheduled : schedule(prompt_tokens)) {
      Sequence& sequence = *scheduled.sequence;
      EXPECT_TRUE(result.emplace(sequence.arrival, scheduled).second) << "twice in a step";
      EXPECT_LE(sequence.computed + scheduled.rows.known(), sequence.size());
      EXPECT_EQ(scheduled.rows.decode > 0, sequence.computed + scheduled.rows.known() == sequence.size());
      EXPECT_EQ(scheduled.logit_count > 0,
                sequence.computed + scheduled.rows.count() > sequence.first_logit_position());
      tokens += scheduled.rows.count();
      more_logits += scheduled.logit_count > 0 ? scheduled.logit_count - 1 : 0;
      append(scheduled);
      scheduler_->commit(scheduled);
      EXPECT_EQ(sequence.blocks.published, limits_.prefix_cache ? sequence.computed / kBlockTokens : 0);
    }
    EXPECT_LE(tokens, limits_.max_batched_tokens);
    EXPECT_LE(more_logits, limits_.more_logit_rows);
    EXPECT_LE(scheduler_->running(), limits_.max_sequences);
    EXPECT_TRUE(cache_->check_integrity(false));
    return result;
  }

  /// What the step gives.
  static void append(const ScheduledSequence& scheduled) {
    Sequence& sequence = *scheduled.sequence;
    for (uint32_t row = 0; row < scheduled.rows.choices(); ++row) {
      sequence.tokens.push_back(0);
      if (row < scheduled.rows.verify && sequence.drafts[row] != 0) break;
    }
  }

  /// A sequence whose answer has begun behind a prompt of its own.
  Sequence& add_answer(uint32_t prompt_tokens) {
    Sequence& sequence = add(prompt_tokens);
    while (!sequence.is_decoding) step();
    return sequence;
  }

  SchedulerLimits limits_;
  std::unique_ptr<KvCache> cache_;
  std::unique_ptr<Scheduler> scheduler_;
  std::map<uint64_t, Sequence> sequences_;
  uint64_t arrivals_ = 0;
};

}  // namespace hearth
