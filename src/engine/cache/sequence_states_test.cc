// States in the cache: which block a step reads and which it writes, so that what is kept stays as it is.

#include "engine/cache/sequence_states.h"

#include <gtest/gtest.h>

#include "device/step.h"

namespace hearth {
namespace {

constexpr HashKey kKey = {1, 2};

BlockHash hash_of(int32_t token) {
  return next_hash(kKey, root_hash(kKey, ""), std::vector<int32_t>(kBlockTokens, token));
}

using Table = std::vector<int32_t>;

TEST(SequenceStates, WriteOverWhatIsNotKept) {
  BlockPool pool(4);
  SequenceStates states;
  states.step(pool, 0, 5, false, false);
  EXPECT_EQ(states.table()[0], -1) << "a sequence begins with zeros";
  const int32_t block = states.table()[1];
  for (uint32_t context = 5; context < 40; ++context) {
    ASSERT_TRUE(states.can_step(pool, context, false));
    states.step(pool, context, context + 1, false, false);
    ASSERT_EQ(states.table(), (Table{block, block}));
  }
  EXPECT_EQ(pool.used_count(), 1U);
  states.release(pool);
  EXPECT_EQ(pool.used_count(), 0U);
  EXPECT_TRUE(pool.check_integrity());
}

TEST(SequenceStates, AKeptStateIsReadAndNeverWritten) {
  BlockPool pool(4);
  SequenceStates states;
  states.step(pool, 0, 16, true, false);
  const int32_t kept = states.table()[1];
  states.publish(pool, 16, hash_of(1), false);
  EXPECT_EQ(pool.find(hash_of(1)), kept);

  states.step(pool, 16, 20, false, false);
  const int32_t next = states.table()[1];
  EXPECT_EQ(states.table(), (Table{kept, next}));
  EXPECT_NE(kept, next);
  states.step(pool, 20, 21, false, false);
  EXPECT_EQ(states.table(), (Table{next, next}));
  EXPECT_EQ(pool.references(kept), 0U) << "nobody needs it, but it can be found";
  EXPECT_EQ(pool.find(hash_of(1)), kept);

  SequenceStates other;
  other.adopt(pool, kept, 16);
  other.step(pool, 16, 18, false, false);
  EXPECT_EQ(other.table()[0], kept);
  EXPECT_NE(other.table()[1], kept);
  EXPECT_NE(other.table()[1], next);
}

TEST(SequenceStates, AStepMayBePreparedBeforeTheStateBeforeItIsPublished) {
  BlockPool pool(4);
  SequenceStates states;
  states.step(pool, 0, 16, true, false);
  const int32_t kept = states.table()[1];
  states.step(pool, 16, 17, false, false);  // while the step before is in flight
  states.publish(pool, 16, hash_of(1), false);
  EXPECT_EQ(pool.find(hash_of(1)), kept);
  states.publish(pool, 17, hash_of(2), false);
  EXPECT_FALSE(pool.find(hash_of(2))) << "it was not kept";
}

TEST(SequenceStates, AStepThatWasNotMadeIsPreparedOtherwise) {
  BlockPool pool(4);
  SequenceStates states;
  states.step(pool, 0, 16, true, false);
  states.step(pool, 16, 64, true, false);
  const Table first = states.table();
  states.step(pool, 16, 32, false, false);
  EXPECT_EQ(states.table(), first);
  EXPECT_EQ(pool.used_count(), 2U);
}

TEST(SequenceStates, AStepThatMayGoBackLeavesTheStateBeforeIt) {
  BlockPool pool(2);
  SequenceStates states;
  states.step(pool, 0, 20, false, false);
  const int32_t before = states.table()[1];
  states.step(pool, 20, 21, false, false);  // prepared, not made
  ASSERT_EQ(states.table(), (Table{before, before}));
  ASSERT_TRUE(states.can_step(pool, 20, true));
  states.step(pool, 20, 25, false, true);
  const int32_t after = states.table()[1];
  EXPECT_EQ(states.table(), (Table{before, after}));
  EXPECT_NE(before, after);
  // Two of its tokens were right, and are computed again with the next one.
  states.step(pool, 20, 23, false, false);
  EXPECT_EQ(states.table(), (Table{before, after}));
  // All of the next ones are right: the blocks take turns.
  ASSERT_TRUE(states.can_step(pool, 23, true));
  states.step(pool, 23, 26, false, true);
  EXPECT_EQ(states.table(), (Table{after, before}));
  states.step(pool, 26, 27, false, false);
  EXPECT_EQ(states.table(), (Table{before, before}));
  EXPECT_EQ(pool.used_count(), 1U);

  SequenceStates other;
  other.step(pool, 0, 5, false, false);
  EXPECT_FALSE(states.can_step(pool, 27, true)) << "no second block";
  EXPECT_TRUE(states.can_step(pool, 27, false));
}

TEST(SequenceStates, AStateThatWasToBeKeptBehindWrongTokensIsNot) {
  BlockPool pool(4);
  SequenceStates states;
  states.step(pool, 0, 12, false, false);
  states.step(pool, 12, 16, true, true);
  states.step(pool, 12, 14, false, false);  // it went back
  states.publish(pool, 16, hash_of(1), true);
  EXPECT_FALSE(pool.find(hash_of(1)));
}

TEST(SequenceStates, KeepsNothingWhereThereIsNoBlockToSpare) {
  BlockPool pool(1);
  SequenceStates states;
  states.step(pool, 0, 16, true, false);
  states.publish(pool, 16, hash_of(1), false);
  ASSERT_TRUE(states.can_step(pool, 16, false));
  states.step(pool, 16, 17, false, false);
  EXPECT_EQ(states.table(), (Table{0, 0}));
  EXPECT_FALSE(pool.find(hash_of(1))) << "it is written over";

  SequenceStates other;
  EXPECT_FALSE(other.can_step(pool, 0, false));
}

TEST(SequenceStates, WhatTwoGoOnFromIsNotWrittenOver) {
  BlockPool pool(1);
  SequenceStates states;
  states.step(pool, 0, 16, true, false);
  states.publish(pool, 16, hash_of(1), false);
  SequenceStates other;
  other.adopt(pool, 0, 16);
  EXPECT_FALSE(states.can_step(pool, 16, false));
  EXPECT_FALSE(other.can_step(pool, 16, false));
  other.release(pool);
  EXPECT_TRUE(states.can_step(pool, 16, false));
}

TEST(SequenceStates, AnAnswerOnItsWayLeavesOneStateBehind) {
  BlockPool pool(8);
  SequenceStates states;
  states.step(pool, 0, 16, true, false);
  states.publish(pool, 16, hash_of(0), false);
  for (int32_t border = 1; border < 6; ++border) {
    const auto end = static_cast<uint32_t>(border + 1) * 16;
    states.step(pool, end - 16, end, true, false);
    states.publish(pool, end, hash_of(border), true);
    states.step(pool, end, end + 1, false, false);
    states.step(pool, end + 1, end + 16, true, false);  // as if the tokens between were one step
    states.step(pool, end + 1, end + 15, false, false);
    states.step(pool, end + 15, end + 16, true, false);
  }
  int found = 0;
  for (int32_t border = 1; border < 6; ++border) found += pool.find(hash_of(border)).has_value() ? 1 : 0;
  EXPECT_LE(found, 2) << "the last one, and the one before it while it is read";
  EXPECT_TRUE(pool.find(hash_of(5)));
  EXPECT_TRUE(pool.find(hash_of(0))) << "a fork stays";
  states.release(pool);
  EXPECT_TRUE(pool.check_integrity());
}

}  // namespace
}  // namespace hearth
