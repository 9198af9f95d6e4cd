#include "device/weight_arrival.h"

#include <gtest/gtest.h>

#include <future>
#include <thread>

namespace hearth {
namespace {

/// Two matrices of 48 and 16 rows; the first operation looks up the first one, the others multiply with the second.
class WeightArrivalTest : public testing::Test {
 protected:
  WeightArrivalTest() {
    arrival_.add(48, 4800);
    arrival_.add(16, 160);
    recording_.operations = {Embed{.table = {0}}, Linear{.weight = {1}}, AddNorm{}, Linear{.weight = {0}}};
    awaited_ = AwaitedWeights(recording_, arrival_);
  }

  WeightArrival arrival_;
  Recording recording_;
  AwaitedWeights awaited_;
};

TEST_F(WeightArrivalTest, AMatrixIsWholeWithItsLastRow) {
  arrival_.note({0}, 32);
  EXPECT_FALSE(arrival_.is_whole({0}));
  EXPECT_EQ(arrival_.missing_bytes(), 1600U + 160U);
  arrival_.note({0}, 16);
  EXPECT_TRUE(arrival_.is_whole({0}));
  EXPECT_FALSE(arrival_.all_whole());
  arrival_.note({1}, 16);
  EXPECT_TRUE(arrival_.all_whole());
  EXPECT_EQ(arrival_.missing_bytes(), 0U);
  arrival_.note({1}, 16);  // written once more
  EXPECT_TRUE(arrival_.all_whole());
}

TEST_F(WeightArrivalTest, AStepGoesAsFarAsItsMatricesAreThere) {
  EXPECT_TRUE(awaited_.any());
  EXPECT_EQ(awaited_.ready_until(0, 4), 0U);
  arrival_.note({1}, 16);
  EXPECT_EQ(awaited_.ready_until(1, 4), 3U) << "what needs no matrix is never waited for";
  arrival_.note({0}, 48);
  EXPECT_EQ(awaited_.ready_until(0, 4), 4U);
  EXPECT_FALSE(awaited_.any());
  EXPECT_FALSE(AwaitedWeights().any());
}

TEST_F(WeightArrivalTest, WhoWaitsIsWokenByTheLastRow) {
  auto waiting = std::async(std::launch::async, [&] { return awaited_.wait_for(0); });
  arrival_.note({1}, 16);
  arrival_.note({0}, 47);
  arrival_.note({0}, 1);
  EXPECT_TRUE(waiting.get());
}

TEST_F(WeightArrivalTest, WhoWaitsIsToldThatNothingComes) {
  auto waiting = std::async(std::launch::async, [&] { return awaited_.wait_for(0); });
  arrival_.note({1}, 16);
  arrival_.give_up({ErrorCode::io, "the disk is gone"});
  const Result<void> came = waiting.get();
  ASSERT_FALSE(came);
  EXPECT_EQ(came.error().message, "the disk is gone");
  EXPECT_FALSE(awaited_.wait_for(0)) << "who comes later, too";
  EXPECT_TRUE(awaited_.wait_for(1)) << "what is there stays there";
}

}  // namespace
}  // namespace hearth
