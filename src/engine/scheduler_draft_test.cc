// Rows by their roles: what steps take of drafts, and what becomes of a sequence by what is right about them.

#include <gtest/gtest.h>

#include <array>

#include "engine/step_builder.h"
#include "engine/testing/scheduler_fixture.h"

namespace hearth {
namespace {

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

}  // namespace
}  // namespace hearth
