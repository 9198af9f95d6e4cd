#include "app/print_profile.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace hearth::app {
namespace {

using testing::HasSubstr;

/// 10 ms, of which 6 for products at 50 GB/s and 2 for something that reads 200 GB/s, out of a cache.
const ProfiledStep kStep = {
    .sequences = 2,
    .tokens = 1,
    .context = 100,
    .seconds = 10e-3,
    .operations = {{"linear 64 to 128", 30, 6e-3, 300'000'000}, {"attention", 30, 2e-3, 400'000'000}}};

TEST(PrintProfile, SharesAreThoseOfTheStepAndOfTheBus) {
  const auto json = profile_json(kStep, 100);
  EXPECT_EQ(json["sequences"], 2);
  EXPECT_EQ(json["context"], 100);
  const auto& linear = json["operations"][0];
  EXPECT_EQ(linear["name"], "linear 64 to 128");
  EXPECT_EQ(linear["count"], 30);
  EXPECT_DOUBLE_EQ(linear["share_of_step"], 0.6);
  EXPECT_DOUBLE_EQ(linear["gb_per_second"], 50);
  EXPECT_DOUBLE_EQ(linear["share_of_bandwidth"], 0.5);
  EXPECT_TRUE(json["operations"][1]["share_of_bandwidth"].is_null()) << "more than all of the bus is no share of it";
  EXPECT_NEAR(json["rest_seconds"].get<double>(), 2e-3, 1e-9);
}

TEST(PrintProfile, ATableSaysTheSame) {
  const std::string table = profile_table(kStep, 100);
  EXPECT_THAT(table, HasSubstr("decoding 2 sequences behind 100 tokens each: 10.000 ms a step"));
  EXPECT_THAT(table, testing::ContainsRegex("linear 64 to 128 +30 +6.000 +60.0 % +300.00 +50.0 +50 %"));
  EXPECT_THAT(table, testing::ContainsRegex("attention +30 +2.000 +20.0 % +400.00 +200.0 +in cache"));
  EXPECT_THAT(table, testing::ContainsRegex("preparing, waiting +2.000 +20.0 %"));
  EXPECT_THAT(profile_table(kStep, 0), testing::Not(HasSubstr("in cache"))) << "no bus was measured";
}

}  // namespace
}  // namespace hearth::app
