#include "engine/scheduler.h"

#include <gtest/gtest.h>

#include <map>
#include <memory>

#include "engine/step_builder.h"

namespace hearth {
namespace {

constexpr HashKey kKey = {1, 2};

/// A scheduler with sequences whose answers are all zeros.
class SchedulerTest : public testing::Test {
 protected:
  void use(uint32_t blocks, SchedulerLimits limits) {
    limits_ = limits;
    const CacheGroup group{.window = 0};
    cache_ = std::make_unique<KvCache>(std::span(&group, 1), std::span(&blocks, 1));
    scheduler_ = std::make_unique<Scheduler>(limits, *cache_, kKey);
  }

  Sequence& add(uint32_t prompt_tokens, int32_t first_token = -1) {
    Sequence& sequence = sequences_[++arrivals_];
    sequence.arrival = arrivals_;
    // Different prompts unless the first token says otherwise.
    sequence.tokens.assign(prompt_tokens, first_token >= 0 ? first_token : 1000 + static_cast<int32_t>(arrivals_));
    sequence.prompt_tokens = prompt_tokens;
    sequence.root = root_hash(kKey, "");
    scheduler_->add(sequence);
    return sequence;
  }

  /// One step; returns what it computed, by arrival.
  std::map<uint64_t, ScheduledSequence> step(uint32_t prompt_tokens = 1U << 30) {
    std::map<uint64_t, ScheduledSequence> result;
    uint32_t tokens = 0;
    for (const ScheduledSequence& scheduled : scheduler_->schedule(prompt_tokens)) {
      Sequence& sequence = *scheduled.sequence;
      EXPECT_TRUE(result.emplace(sequence.arrival, scheduled).second) << "twice in a step";
      EXPECT_LE(sequence.computed + scheduled.token_count, sequence.size());
      EXPECT_EQ(scheduled.logit_count > 0, sequence.computed + scheduled.token_count > sequence.first_logit_position());
      tokens += scheduled.token_count;
      scheduler_->commit(scheduled);
      if (sequence.remaining() == 0) sequence.tokens.push_back(0);
    }
    EXPECT_LE(tokens, limits_.max_batched_tokens);
    EXPECT_LE(scheduler_->running(), limits_.max_sequences);
    EXPECT_TRUE(cache_->check_integrity(false));
    return result;
  }

  SchedulerLimits limits_;
  std::unique_ptr<KvCache> cache_;
  std::unique_ptr<Scheduler> scheduler_;
  std::map<uint64_t, Sequence> sequences_;
  uint64_t arrivals_ = 0;
};

TEST_F(SchedulerTest, OnePromptAloneTakesTheWholeBudget) {
  use(100, {.max_batched_tokens = 300, .shared_prompt_tokens = 50});
  add(700);
  EXPECT_EQ(step().at(1).token_count, 300U);
  EXPECT_EQ(step().at(1).token_count, 300U);
  const auto last = step().at(1);
  EXPECT_EQ(last.token_count, 100U);
  EXPECT_EQ(last.logit_count, 1U);
  EXPECT_EQ(step().at(1).token_count, 1U);
}

TEST_F(SchedulerTest, SharedStepsTakePromptsInOrderAndDecodeAll) {
  use(100, {.max_batched_tokens = 300, .shared_prompt_tokens = 50});
  add(30);
  add(30);
  add(30);
  auto first = step();
  EXPECT_EQ(first.at(1).token_count, 30U);
  EXPECT_EQ(first.at(2).token_count, 20U);
  EXPECT_FALSE(first.contains(3));
  auto second = step();
  EXPECT_EQ(second.at(1).token_count, 1U);
  EXPECT_EQ(second.at(2).token_count, 10U);
  EXPECT_EQ(second.at(3).token_count, 30U);
}

TEST_F(SchedulerTest, PromptsAreCutSmallerOnlyBesideAnswers) {
  use(100, {.max_batched_tokens = 300, .shared_prompt_tokens = 50});
  add(60);
  add(60);
  EXPECT_EQ(step(16).at(1).token_count, 50U) << "nobody waits for a next token yet";
  const auto second = step(16);
  EXPECT_EQ(second.at(1).token_count, 10U);
  EXPECT_EQ(second.at(2).token_count, 40U);
  const auto third = step(16);
  EXPECT_EQ(third.at(1).token_count, 1U);
  EXPECT_EQ(third.at(2).token_count, 16U);
  EXPECT_EQ(step(16).at(2).token_count, 4U);
}

TEST_F(SchedulerTest, TheYoungestIsPreemptedAndComesBackInItsTurn) {
  use(10, {.max_sequences = 4});
  for (int i = 0; i < 3; ++i) add(40);  // three blocks each
  add(16);                              // must wait for room
  step();
  EXPECT_EQ(scheduler_->running(), 2U) << "a third would leave no block for those that run";

  std::vector<uint64_t> finished;
  uint32_t computed_of_oldest = 0;
  while (scheduler_->has_work()) {
    ASSERT_FALSE(step().empty());
    const uint64_t oldest = finished.size() + 1;
    EXPECT_GE(sequences_[oldest].computed, computed_of_oldest) << "the oldest never goes back";
    computed_of_oldest = sequences_[oldest].computed;
    bool older_waits = false;
    for (uint64_t arrival = oldest; arrival <= arrivals_; ++arrival) {
      const bool waits = sequences_[arrival].computed == 0;
      EXPECT_TRUE(waits || !older_waits) << arrival << " runs while an older one waits";
      older_waits = older_waits || waits;
    }
    for (auto& [arrival, sequence] : sequences_) {
      if (sequence.size() != 100) continue;
      scheduler_->remove(sequence);
      sequence.tokens.push_back(0);  // no longer of 100 tokens
      finished.push_back(arrival);
      computed_of_oldest = 0;
    }
  }
  EXPECT_EQ(finished, (std::vector<uint64_t>{1, 2, 3, 4}));
  EXPECT_GT(scheduler_->preemptions(), 0U);
  EXPECT_TRUE(cache_->check_integrity(true));
}

TEST_F(SchedulerTest, NobodyOvertakesARequestThatWaitsForMemory) {
  use(10, {.max_sequences = 4});
  add(100);  // seven blocks
  step();
  add(64);
  add(5);
  const auto next = step();
  EXPECT_EQ(next.size(), 1U);
  EXPECT_EQ(scheduler_->waiting(), 2U);
}

TEST_F(SchedulerTest, AFollowerWaitsForAPrefixThatIsBeingComputedButNotTheOthers) {
  use(100, {.max_batched_tokens = 64, .shared_prompt_tokens = 32});
  add(70, 7);
  add(66, 7);
  add(20);
  auto first = step();
  EXPECT_EQ(first.at(1).token_count, 32U);
  EXPECT_FALSE(first.contains(2));
  auto second = step();
  EXPECT_EQ(second.at(1).token_count, 32U);
  EXPECT_FALSE(second.contains(2));
  auto third = step();
  EXPECT_EQ(third.at(1).token_count, 6U);
  EXPECT_EQ(third.at(2).token_count, 2U) << "64 tokens were there by now";
  EXPECT_EQ(third.at(3).token_count, 20U);
  EXPECT_EQ(sequences_[2].blocks.tables[0][3], sequences_[1].blocks.tables[0][3]);
}

TEST_F(SchedulerTest, LongPromptsLeaveRoomForTheOnesBehindThem) {
  use(1000, {.max_batched_tokens = 512, .shared_prompt_tokens = 128});
  add(5000);
  add(40);
  const auto first = step();
  EXPECT_EQ(first.at(1).token_count, 64U);
  EXPECT_EQ(first.at(2).token_count, 40U);
  EXPECT_EQ(step().at(1).token_count, 128U) << "nobody is behind it now";
}

TEST_F(SchedulerTest, LogitsOfPromptsAreLimitedInEachStep) {
  use(100, {.max_batched_tokens = 512, .shared_prompt_tokens = 512, .prompt_logit_rows = 20});
  add(60).next_prompt_logits = 0;
  add(60).next_prompt_logits = 0;
  uint32_t positions[2] = {0, 0};
  for (int i = 0; i < 10; ++i) {
    uint32_t rows = 0, sequences = 0;
    for (const auto& [arrival, scheduled] : step()) {
      rows += scheduled.logit_count;
      ++sequences;
      if (scheduled.sequence->computed <= 60) {
        EXPECT_EQ(scheduled.logit_count, scheduled.token_count) << "every position of the prompt";
        positions[arrival - 1] += scheduled.logit_count;
      }
    }
    EXPECT_LE(rows, 20 + sequences);
  }
  EXPECT_EQ(positions[0], 60U);
  EXPECT_EQ(positions[1], 60U);
}

TEST_F(SchedulerTest, AStepAheadIsTheNextStep) {
  use(100, {.max_sequences = 3});
  for (const uint32_t tokens : {15U, 16U, 40U}) add(tokens).candidates = 1;
  std::vector<ScheduledSequence> in_flight = scheduler_->schedule();
  ASSERT_EQ(in_flight.size(), 3U);
  for (int i = 0; i < 40; ++i) {
    const std::vector<ScheduledSequence> ahead = scheduler_->schedule_ahead(in_flight);
    ASSERT_EQ(ahead.size(), 3U);
    StepBuilder builder;
    const StepInput& input = builder.build(ahead);
    for (uint32_t s = 0; s < 3; ++s) {
      EXPECT_EQ(input.token_ids[s], StepInput::best_of_row(s));
      EXPECT_EQ(input.candidates[s], 1U);
      EXPECT_GE(input.sequences[s].block_tables[0].size() * kBlockTokens, input.sequences[s].context_tokens + 1);
    }
    for (const ScheduledSequence& scheduled : in_flight) {
      scheduler_->commit(scheduled);
      scheduled.sequence->tokens.push_back(7);
    }
    // What the ordinary way comes to when the tokens are there.
    const std::vector<ScheduledSequence>& next = scheduler_->schedule();
    ASSERT_EQ(next.size(), 3U);
    for (size_t s = 0; s < 3; ++s) {
      EXPECT_EQ(next[s].sequence, ahead[s].sequence);
      EXPECT_EQ(next[s].context_tokens, ahead[s].context_tokens);
      EXPECT_EQ(next[s].token_count, ahead[s].token_count);
      EXPECT_EQ(next[s].logit_count, ahead[s].logit_count);
    }
    in_flight = ahead;
  }
  EXPECT_TRUE(cache_->check_integrity(false));
}

TEST_F(SchedulerTest, NothingRunsAheadOfPromptsNewcomersOrMissingBlocks) {
  use(8, {.max_sequences = 2, .max_batched_tokens = 32, .shared_prompt_tokens = 32});
  Sequence& first = add(50);
  EXPECT_TRUE(scheduler_->schedule_ahead(scheduler_->schedule()).empty()) << "the prompt is not whole yet";
  step();
  std::vector<ScheduledSequence> in_flight = scheduler_->schedule();
  EXPECT_EQ(scheduler_->schedule_ahead(in_flight).size(), 1U);
  Sequence& second = add(40);
  EXPECT_TRUE(scheduler_->schedule_ahead(in_flight).empty()) << "somebody waits who may be admitted";
  scheduler_->remove(second);
  first.tokens.resize(128, 1);  // all eight blocks
  step(), step(), step();
  ASSERT_EQ(first.computed, 128U);
  in_flight = {{.sequence = &first, .context_tokens = 127, .token_count = 1, .logit_count = 1}};
  first.tokens.resize(128);
  EXPECT_TRUE(scheduler_->schedule_ahead(in_flight).empty()) << "no block is left";
}

TEST_F(SchedulerTest, WhatWasRemovedStaysBehindWhenAStepRunsAhead) {
  use(100, {.max_sequences = 3});
  for (int i = 0; i < 3; ++i) add(20);
  std::vector<ScheduledSequence> in_flight = scheduler_->schedule();
  scheduler_->remove(*in_flight[1].sequence);
  in_flight[1].sequence = nullptr;
  const std::vector<ScheduledSequence>& ahead = scheduler_->schedule_ahead(in_flight);
  ASSERT_EQ(ahead.size(), 2U);
  EXPECT_EQ(ahead[0].row_before, 0U);
  EXPECT_EQ(ahead[1].row_before, 2U);
}

TEST_F(SchedulerTest, StepsBecomeFlatBatches) {
  use(100, {.max_batched_tokens = 300, .shared_prompt_tokens = 50});
  add(30, 5);
  step();
  add(20, 6);
  StepBuilder builder;
  const StepInput& input = builder.build(scheduler_->schedule());
  ASSERT_EQ(input.sequences.size(), 2U);
  std::vector<int32_t> expected(20, 6);
  expected.insert(expected.begin(), 0);
  EXPECT_TRUE(std::ranges::equal(input.token_ids, expected));
  EXPECT_EQ(input.sequences[0].context_tokens, 30U);
  EXPECT_EQ(input.sequences[1].context_tokens, 0U);
  EXPECT_EQ(input.sequences[1].first_token, 1U);
  EXPECT_EQ(input.sequences[1].token_count, 20U);
  EXPECT_TRUE(std::ranges::equal(input.logit_rows, std::array{0U, 20U}));
  for (size_t i = 0; i < 2; ++i) {
    ASSERT_EQ(input.sequences[i].block_tables.size(), 1U);
    EXPECT_TRUE(std::ranges::equal(input.sequences[i].block_tables[0], sequences_[i + 1].blocks.tables[0]));
  }
}

}  // namespace
}  // namespace hearth
