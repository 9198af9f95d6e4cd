#include "engine/scheduler.h"

#include "engine/step_builder.h"
#include "engine/testing/scheduler_fixture.h"

namespace hearth {
namespace {

TEST_F(SchedulerTest, OnePromptAloneTakesTheWholeBudget) {
  use(100, {.max_batched_tokens = 300});
  add(700);
  EXPECT_EQ(step().at(1).rows.count(), 300U);
  EXPECT_EQ(step().at(1).rows.count(), 300U);
  const auto last = step().at(1);
  EXPECT_EQ(last.rows.count(), 100U);
  EXPECT_EQ(last.logit_count, 1U);
  EXPECT_EQ(step().at(1).rows.count(), 1U);
}

TEST_F(SchedulerTest, StepsTakePromptsInOrderAndDecodeAll) {
  use(100, {.max_batched_tokens = 300});
  add(30);
  add(30);
  add(30);
  auto first = step(50);
  EXPECT_EQ(first.at(1).rows.count(), 30U);
  EXPECT_EQ(first.at(2).rows.count(), 20U);
  EXPECT_FALSE(first.contains(3));
  auto second = step(50);
  EXPECT_EQ(second.at(1).rows.count(), 1U);
  EXPECT_EQ(second.at(2).rows.count(), 10U);
  EXPECT_EQ(second.at(3).rows.count(), 30U);
}

TEST_F(SchedulerTest, WhoeverChoosesTheSizeOfAStepIsToldWhatItMayBeMadeOf) {
  use(100, {.max_batched_tokens = 300});
  add(60);
  StepOutlook told;
  const auto remember = [&](const StepOutlook& ahead) {
    told = ahead;
    return 48U;
  };
  const auto one_step = [&] {
    for (const ScheduledSequence& scheduled : std::vector(scheduler_->schedule(remember))) {
      scheduler_->commit(scheduled);
      if (scheduled.sequence->remaining() == 0) scheduled.sequence->tokens.push_back(0);
    }
  };
  one_step();
  EXPECT_TRUE(told.is_alone);
  EXPECT_EQ(told.prompt_tokens, 60U);
  EXPECT_EQ(told.decoding.tokens, 0U);
  one_step();
  EXPECT_EQ(told.prompt_tokens, 12U);
  EXPECT_EQ(told.prompt_context, 48U);
  add(100);
  one_step();
  EXPECT_FALSE(told.is_alone);
  EXPECT_EQ(told.prompt_tokens, 100U);
  EXPECT_EQ(told.prompt_context, 0U);
  EXPECT_EQ(told.decoding.decoding, 1U);
  EXPECT_EQ(told.decoding.decode_context, 60);
}

TEST_F(SchedulerTest, TheYoungestIsPreemptedAndComesBackInItsTurn) {
  use(10, {.max_sequences = 4});
  for (int i = 0; i < 4; ++i) add(40);  // three blocks each; the last two must wait for room
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
  add(45);  // in line behind it
  const auto next = step();
  EXPECT_EQ(next.size(), 1U);
  EXPECT_EQ(scheduler_->waiting(), 2U);
}

TEST_F(SchedulerTest, AFollowerWaitsForAPrefixThatIsBeingComputedButNotTheOthers) {
  use(100, {.max_batched_tokens = 64});
  add(70, 7);
  add(66, 7);
  add(60);
  auto first = step(32);
  EXPECT_EQ(first.at(1).rows.count(), 32U);
  EXPECT_FALSE(first.contains(2));
  auto second = step(32);
  EXPECT_EQ(second.at(1).rows.count(), 32U);
  EXPECT_FALSE(second.contains(2));
  auto third = step(32);
  EXPECT_EQ(third.at(1).rows.count(), 6U);
  EXPECT_EQ(third.at(2).rows.count(), 2U) << "64 tokens were there by now";
  EXPECT_EQ(third.at(3).rows.count(), 24U);
  EXPECT_EQ(sequences_[2].blocks.tables[0][3], sequences_[1].blocks.tables[0][3]);
}

TEST_F(SchedulerTest, AShortPromptOvertakesLongOnesAndNoneWaitsForEver) {
  use(10000, {.max_batched_tokens = 512});
  for (int i = 0; i < 8; ++i) add(8000);
  for (int i = 0; i < 5; ++i) EXPECT_EQ(step().at(1).rows.count(), 512U) << "one after another, as they came";
  add(100);
  const auto next = step();
  EXPECT_EQ(next.at(9).rows.count(), 100U);
  EXPECT_EQ(next.at(1).rows.count(), 412U);
  // Short ones keep coming, enough for most of every step.
  int steps = 0;
  for (; sequences_[8].computed < 8000; ++steps) {
    ASSERT_LT(steps, 1000);
    for (int i = 0; i < 3; ++i) add(100);
    for (auto& [arrival, sequence] : sequences_) {
      if (arrival > 8 && sequence.share != nullptr && sequence.remaining() == 1) {
        scheduler_->remove(sequence);
        sequence.share = nullptr;
      }
    }
    step();
  }
  EXPECT_LT(steps, 8 * 8000 / 200 + 50) << "at least what the short ones leave";
}

TEST_F(SchedulerTest, OneOfManyRequestsComesAfterTheOnlyOneOfAnotherUser) {
  use(10000, {.max_batched_tokens = 512});
  for (int i = 0; i < 20; ++i) add(400, -1, {.id = "many"});
  step();
  add(400, -1, {.id = "one"});
  step(), step();
  EXPECT_GE(sequences_[21].computed, 400U) << "after the one that was begun";
}

TEST_F(SchedulerTest, UsersGetPromptTokensByWeight) {
  use(10000, {.max_sequences = 100, .max_batched_tokens = 128});
  for (int i = 0; i < 30; ++i) {
    add(100, -1, {.id = "light"});
    add(100, -1, {.id = "heavy", .weight = 3});
  }
  for (int i = 0; i < 24; ++i) step(100);
  uint32_t light = 0, heavy = 0;
  for (const auto& [arrival, sequence] : sequences_) {
    (arrival % 2 == 1 ? light : heavy) += std::min(sequence.computed, 100U);
  }
  EXPECT_NEAR(static_cast<double>(heavy) / light, 3, 0.5);
}

TEST_F(SchedulerTest, PriorityComesBeforeEverything) {
  use(10000, {.max_batched_tokens = 512});
  add(2000);
  add(2000);
  step();
  sequences_[arrivals_ + 1].priority = -1;
  add(3000);
  for (int i = 0; i < 5; ++i) EXPECT_EQ(step().at(3).rows.count(), 512U);
  sequences_[arrivals_ + 1].priority = 1;
  add(10);
  for (int i = 0; i < 7; ++i) EXPECT_FALSE(step().contains(4));
}

TEST_F(SchedulerTest, PlacesChangeHandsUntilUsersHaveThemByWeight) {
  use(10000, {.max_sequences = 8, .max_batched_tokens = 512});
  for (int i = 0; i < 20; ++i) add(20, -1, {.id = "many"});
  step();
  for (int i = 0; i < 10; ++i) add(20, -1, {.id = "other", .weight = 3});
  for (int i = 0; i < 20; ++i) step();
  uint32_t many = 0, other = 0;
  for (const auto& [arrival, sequence] : sequences_) (arrival <= 20 ? many : other) += sequence.computed > 0 ? 1 : 0;
  EXPECT_EQ(many, 2U);
  EXPECT_EQ(other, 6U);
  const uint64_t preemptions = scheduler_->preemptions();
  for (int i = 0; i < 20; ++i) step();
  EXPECT_EQ(scheduler_->preemptions(), preemptions) << "and then stay";
}

TEST_F(SchedulerTest, AUserRunsNoMoreRequestsThanAllowed) {
  use(10000, {.max_sequences = 8, .max_batched_tokens = 512});
  for (int i = 0; i < 5; ++i) add(20, -1, {.id = "few", .max_running = 2});
  add(20, -1, {.id = "other"});
  for (int i = 0; i < 5; ++i) step();
  EXPECT_EQ(scheduler_->running(), 3U);
  scheduler_->remove(sequences_[1]);
  step();
  EXPECT_EQ(scheduler_->running(), 3U);
}

TEST_F(SchedulerTest, LogitsOfPromptsAreLimitedInEachStep) {
  use(100, {.max_batched_tokens = 512, .more_logit_rows = 20});
  add(60).next_prompt_logits = 0;
  add(60).next_prompt_logits = 0;
  uint32_t positions[2] = {0, 0};
  for (int i = 0; i < 10; ++i) {
    uint32_t rows = 0, sequences = 0;
    for (const auto& [arrival, scheduled] : step()) {
      rows += scheduled.logit_count;
      ++sequences;
      if (scheduled.sequence->computed <= 60) {
        EXPECT_EQ(scheduled.logit_count, scheduled.rows.count()) << "every position of the prompt";
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
  std::vector<ScheduledSequence> in_flight = schedule();
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
    const std::vector<ScheduledSequence>& next = schedule();
    ASSERT_EQ(next.size(), 3U);
    for (size_t s = 0; s < 3; ++s) {
      EXPECT_EQ(next[s].sequence, ahead[s].sequence);
      EXPECT_EQ(next[s].context_tokens, ahead[s].context_tokens);
      EXPECT_EQ(next[s].rows.count(), ahead[s].rows.count());
      EXPECT_EQ(next[s].logit_count, ahead[s].logit_count);
    }
    in_flight = ahead;
  }
  EXPECT_TRUE(cache_->check_integrity(false));
}

TEST_F(SchedulerTest, NothingRunsAheadOfPromptsNewcomersOrMissingBlocks) {
  use(8, {.max_sequences = 2, .max_batched_tokens = 32});
  Sequence& first = add(50);
  EXPECT_TRUE(scheduler_->schedule_ahead(schedule()).empty()) << "the prompt is not whole yet";
  step();
  std::vector<ScheduledSequence> in_flight = schedule();
  EXPECT_EQ(scheduler_->schedule_ahead(in_flight).size(), 1U);
  Sequence& second = add(40);
  EXPECT_TRUE(scheduler_->schedule_ahead(in_flight).empty()) << "somebody waits who may be admitted";
  scheduler_->remove(second);
  first.tokens.resize(128, 1);  // all eight blocks
  step(), step(), step();
  ASSERT_EQ(first.computed, 128U);
  in_flight = {{.sequence = &first, .context_tokens = 127, .rows = {.decode = 1}, .logit_count = 1}};
  first.tokens.resize(128);
  EXPECT_TRUE(scheduler_->schedule_ahead(in_flight).empty()) << "no block is left";
}

TEST_F(SchedulerTest, NothingRunsAheadOfAUserWhoIsGivenAPlace) {
  use(100, {.max_sequences = 4});
  for (int i = 0; i < 6; ++i) add(20, -1, {.id = "many"});
  add(20, -1, {.id = "limited", .max_running = 1});
  for (int i = 0; i < 3; ++i) step();
  ASSERT_EQ(sequences_[7].share->running, 1U) << "has changed places with one of the many";
  add(20, -1, {.id = "limited", .max_running = 1});
  const std::vector<ScheduledSequence> in_flight = schedule();
  EXPECT_EQ(scheduler_->schedule_ahead(in_flight).size(), 4U) << "who waits may not run yet";
  add(20, -1, {.id = "other"});
  EXPECT_TRUE(scheduler_->schedule_ahead(in_flight).empty());
}

TEST_F(SchedulerTest, WhatWasRemovedStaysBehindWhenAStepRunsAhead) {
  use(100, {.max_sequences = 3});
  for (int i = 0; i < 3; ++i) add(20);
  std::vector<ScheduledSequence> in_flight = schedule();
  scheduler_->remove(*in_flight[1].sequence);
  in_flight[1].sequence = nullptr;
  const std::vector<ScheduledSequence>& ahead = scheduler_->schedule_ahead(in_flight);
  ASSERT_EQ(ahead.size(), 2U);
  EXPECT_EQ(ahead[0].row_before, 0U);
  EXPECT_EQ(ahead[1].row_before, 2U);
}

TEST_F(SchedulerTest, StepsBecomeFlatBatches) {
  use(100, {.max_batched_tokens = 300});
  add(30, 5);
  step();
  add(20, 6);
  StepBuilder builder;
  const StepInput& input = builder.build(schedule());
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
