#include "app/explain.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace hearth::app {
namespace {

using testing::ContainsRegex;
using testing::Not;

const std::vector<OperationChoice> kChoices = {
    {.operation = "gate_up 64 to 96 q4_0",
     .count = 3,
     .tokens = 1,
     .launches = {"gate_up_few q4_0 threads=64 tokens=1 rows=2"},
     .origin = "measured",
     .tuning = "gate_up.rows=2",
     .microseconds = 1.5,
     .table_microseconds = 2},
    {.operation = "gate_up 64 to 96 q4_0",
     .count = 3,
     .tokens = 2,
     .launches = {"gate_up_few q4_0 threads=64 tokens=2 rows=4"},
     .origin = "table"},
    {.operation = "gate_up 64 to 96 q4_0",
     .count = 3,
     .tokens = 3,
     .launches = {"gate_up_few q4_0 threads=64 tokens=3 rows=4"},
     .origin = "table"},
    {.operation = "attention",
     .count = 3,
     .tokens = 3,
     .prompt = true,
     .launches = {"rope_and_store", "attention_many"},
     .origin = "table"},
};

TEST(Explain, ATableJoinsCountsThatDifferInNothingElse) {
  const std::string table = choices_table(kChoices);
  EXPECT_THAT(table, ContainsRegex("gate_up 64 to 96 q4_0 \\(3 in a step\\)\n"));
  EXPECT_THAT(table, ContainsRegex(" 1 tokens +gate_up_few q4_0 threads=64 rows=2; measured 1.5 us, the table's 2.0"));
  EXPECT_THAT(table, ContainsRegex(" 2-3 tokens +gate_up_few q4_0 threads=64 rows=4; table\n"));
  EXPECT_THAT(table,
              ContainsRegex("attention \\(3 in a step\\)\n +3 of prompts rope_and_store \\+ attention_many; table"));
  EXPECT_THAT(table, Not(ContainsRegex("tokens=")));
}

TEST(Explain, JsonHasEveryChoice) {
  const auto json = choices_json(kChoices);
  ASSERT_EQ(json.size(), kChoices.size());
  EXPECT_EQ(json[0]["tuning"], "gate_up.rows=2");
  EXPECT_EQ(json[0]["microseconds"], 1.5);
  EXPECT_TRUE(json[1]["microseconds"].is_null());
  EXPECT_EQ(json[2]["tokens"], 3);
  EXPECT_EQ(json[3]["prompt"], true);
}

}  // namespace
}  // namespace hearth::app
