#include "engine/scheduler.h"

#include <gtest/gtest.h>

#include <map>
#include <memory>

#include "engine/step_builder.h"

namespace hearth {
namespace {

constexpr HashKey kKey = {1, 2};

/// A scheduler with sequences whose answers are all zeros, so that drafts are right as far as they are.
class SchedulerTest : public testing::Test {
 protected:
  void use(uint32_t blocks, SchedulerLimits limits, const std::vector<CacheGroup>& groups = {{.window = 0}}) {
    limits_ = limits;
    cache_ = std::make_unique<KvCache>(groups, std::vector<uint32_t>(groups.size(), blocks));
    scheduler_ = std::make_unique<Scheduler>(limits, *cache_, kKey);
  }

  Sequence& add(uint32_t prompt_tokens, int32_t first_token = -1, const User& user = {}) {
    Sequence& sequence = sequences_[++arrivals_];
    sequence.arrival = arrivals_;
    // Different prompts unless the first token says otherwise.
    sequence.tokens.assign(prompt_tokens, first_token >= 0 ? first_token : 1000 + static_cast<int32_t>(arrivals_));
    sequence.prompt_tokens = prompt_tokens;
    sequence.root = root_hash(kKey, "");
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

TEST_F(SchedulerTest, RowsSayWhatTheyAreThereFor) {
  use(100, {.max_batched_tokens = 40});
  Sequence& sequence = add(50);
  const auto rows_of = [&] {
    const ScheduledSequence scheduled = step().at(1);
    return std::array{scheduled.rows.prompt, scheduled.rows.decode, scheduled.rows.verify, scheduled.logit_count};
  };
  EXPECT_EQ(rows_of(), (std::array{40U, 0U, 0U, 0U}));
  EXPECT_FALSE(sequence.is_decoding);
  EXPECT_EQ(rows_of(), (std::array{9U, 1U, 0U, 1U}));
  EXPECT_TRUE(sequence.is_decoding);
  EXPECT_EQ(rows_of(), (std::array{0U, 1U, 0U, 1U}));
  sequence.drafts = {0, 0, 5};
  const std::vector<ScheduledSequence>& next = schedule();
  StepBuilder builder;
  const StepInput& input = builder.build(next);
  EXPECT_TRUE(std::ranges::equal(input.token_ids, std::array{0, 0, 0, 5}));
  EXPECT_TRUE(std::ranges::equal(input.logit_rows, std::array{0U, 1U, 2U, 3U}));
  EXPECT_EQ(input.sequences[0].context_tokens, 51U);
  const StepLoad load = load_of(next);
  EXPECT_EQ(load.tokens, 4U);
  EXPECT_EQ(load.decoding, 4U);
  EXPECT_EQ(load.decode_context, 51 + 52 + 53 + 54);
  EXPECT_EQ(load.prompt_context, 0);
  EXPECT_TRUE(scheduler_->schedule_ahead(next).empty()) << "nobody knows yet how many are right";
  EXPECT_EQ(rows_of(), (std::array{0U, 1U, 3U, 4U}));
  EXPECT_EQ(sequence.computed, 54U) << "the last one was wrong";
  EXPECT_EQ(sequence.size(), 55U);
}

TEST_F(SchedulerTest, DraftsBelongToASequenceAsFarAsTheyWereAppended) {
  for (const bool has_state : {false, true}) {
    for (int32_t right = 0; right <= 6; ++right) {
      use(100, {.more_logit_rows = 6},
          has_state ? std::vector<CacheGroup>{{.window = 0}, {.keeps_states = true}}
                    : std::vector<CacheGroup>{{.window = 0}});
      Sequence& sequence = add_answer(20);
      const std::vector<std::vector<int32_t>> before = sequence.blocks.tables;
      sequence.drafts.assign(6, 0);
      if (right < 6) sequence.drafts[right] = 1;
      EXPECT_EQ(step().at(arrivals_).rows.verify, 6U);
      EXPECT_EQ(sequence.size(), 22U + right);
      EXPECT_TRUE(sequence.drafts.empty());
      const bool goes_back = has_state && right < 6;
      EXPECT_EQ(sequence.computed, goes_back ? 20U : 21U + right);
      if (has_state) {
        EXPECT_EQ(sequence.blocks.tables[1][0], before[1][1]) << "it read what was written before";
      }

      sequence.drafts.assign(6, 0);
      const ScheduledSequence next = step().at(arrivals_);
      EXPECT_EQ(next.rows.prompt, goes_back ? 1U + right : 0);
      EXPECT_EQ(next.rows.decode, 1U);
      // Where states are kept none goes beyond the end of the block.
      EXPECT_EQ(next.rows.verify, goes_back ? 0 : has_state ? 32 - 28U : 6);
      EXPECT_GT(sequence.computed, 21U + right);
      if (goes_back) {
        EXPECT_EQ(sequence.blocks.tables[1][0], before[1][1]) << "it went on from the same";
      }
      scheduler_->remove(sequence);
      EXPECT_TRUE(cache_->check_integrity(true));
    }
  }
}

TEST_F(SchedulerTest, EveryAnswerGetsOnWhateverOthersDraft) {
  for (const bool has_state : {false, true}) {
    use(400, {.max_sequences = 12, .max_batched_tokens = 48, .more_logit_rows = 20},
        has_state ? std::vector<CacheGroup>{{.window = 0}, {.keeps_states = true}}
                  : std::vector<CacheGroup>{{.window = 0}});
    sequences_.clear();
    for (int i = 0; i < 12; ++i) add(30, -1, {.id = std::to_string(i % 3)});
    for (int i = 0; i < 60; ++i) {
      std::map<uint64_t, uint32_t> sizes;
      for (auto& [arrival, sequence] : sequences_) {
        if (sequence.is_decoding) sizes[arrival] = sequence.size();
        // Right ones, wrong ones, and those in which only the third is wrong.
        sequence.drafts.assign(8, 0);
        if (arrival % 3 > 0) sequence.drafts[arrival % 3 == 1 ? 0 : 2] = 1;
      }
      uint32_t drafts = 0;
      for (const auto& [arrival, scheduled] : step()) {
        drafts += scheduled.rows.verify;
        EXPECT_GT(sequences_[arrival].size(), sizes[arrival]) << "an answer gets a token of each step";
        sizes.erase(arrival);
      }
      EXPECT_LE(drafts, limits_.more_logit_rows);
      EXPECT_TRUE(sizes.empty()) << "an answer was left out";
    }
    EXPECT_EQ(scheduler_->running(), 12U);
    for (auto& [arrival, sequence] : sequences_) scheduler_->remove(sequence);
  }
}

TEST_F(SchedulerTest, PromptsHaveHalfOfWhatDraftsCouldTake) {
  use(400, {.max_sequences = 4, .max_batched_tokens = 44, .more_logit_rows = 100});
  for (int i = 0; i < 4; ++i) add_answer(20);
  scheduler_->remove(sequences_[4]);
  sequences_[4].drafts.clear();
  add(200);
  for (int i = 1; i < 4; ++i) sequences_[i].drafts.assign(50, 0);
  const auto next = step();
  EXPECT_EQ(next.at(1).rows.verify, 20U);
  EXPECT_EQ(next.at(5).rows.prompt, 44U - 3 - 20);
}

TEST_F(SchedulerTest, NobodyLosesBlocksForDrafts) {
  use(4, {.max_sequences = 2});
  Sequence& first = add_answer(14);
  Sequence& second = add_answer(20);
  ASSERT_EQ(cache_->pools()[0].free_count(), 1U);
  while (first.size() < 16) step();
  first.drafts.assign(30, 0);
  EXPECT_EQ(step().at(1).rows.verify, 0U) << "two more blocks are not there";
  first.drafts.assign(15, 0);
  EXPECT_EQ(step().at(1).rows.verify, 15U);
  EXPECT_TRUE(second.is_decoding);
  EXPECT_EQ(scheduler_->preemptions(), 0U);
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
