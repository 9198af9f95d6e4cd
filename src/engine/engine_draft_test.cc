// Drafted tokens, whatever kinds of layers remember: they change how soon tokens come, not which.

#include <gtest/gtest.h>

#include "engine/testing/engine_fixture.h"

namespace hearth {
namespace {

struct Kind {
  std::string name;
  std::vector<CacheGroup> groups;
};

class DraftTest : public testing::TestWithParam<Kind> {
 protected:
  bool has_states() const {
    return std::ranges::find(GetParam().groups, true, &CacheGroup::keeps_states) != GetParam().groups.end();
  }

  FakeEngine::Setup setup(size_t most_drafts, uint64_t wrong_in) const {
    FakeEngine::Setup setup;
    setup.groups = GetParam().groups;
    setup.blocks.clear();
    for (const CacheGroup& group : setup.groups) setup.blocks.push_back(group.keeps_states ? 32 : 512);
    setup.context_length = 4096;
    setup.options = {.max_sequences = 6, .max_batched_tokens = 256};
    setup.draft = greedy_drafts(setup.groups, most_drafts, wrong_in);
    return setup;
  }
};

TEST_P(DraftTest, RightOnesSaveStepsAndWrongOnesCostAFewAtMost) {
  for (const uint64_t wrong_in : {0, 1, 3}) {
    FakeEngine fake(setup(4, wrong_in));
    const Request request = greedy(some_tokens(40, 1), 101);
    const auto answer = fake.submit(request);
    fake.wait_until_idle();
    fake.expect_as_alone(request, *answer);
    // The prompt's step gives one token and each step behind it up to five, or up to the end of a block where a state
    // is to be kept; a wrong draft's step gives one, too, and so does the one that computes right tokens again.
    const uint32_t with_right_ones = has_states() ? 1 + 4 * (100 / kBlockTokens + 1) : 1 + 100 / 5;
    EXPECT_LE(fake.program->steps, wrong_in == 0 ? with_right_ones : 101);
    EXPECT_EQ(answer->events, static_cast<int>(fake.program->steps));
  }
}

TEST_P(DraftTest, ChangeNothingForAnyWayToChoose) {
  FakeEngine::Setup with_end = setup(5, 4);
  with_end.end_tokens = {7, 33, 81};
  FakeEngine fake(with_end);
  std::vector<std::pair<Request, std::shared_ptr<Answer>>> answers;
  for (uint64_t i = 0; i < 40; ++i) {
    Request request = greedy(some_tokens(5 + 3 * i, i % 7), 3 + 7 * i % 60);
    if (i % 4 == 1) request.sampling = {.temperature = 0.3F, .top_k = 5, .seed = i};
    if (i % 4 == 2) request.sampling = {.temperature = 0.0F, .frequency_penalty = 0.3F};
    if (i % 4 == 3) request.sampling = {.temperature = 0.2F, .top_p = 0.9F, .seed = i};
    if (i % 3 == 0) request.logprobs = 2;
    if (i % 6 == 0) request.prompt_logprobs = true;
    if (i % 5 == 0) request.min_tokens = 12;
    answers.emplace_back(request, fake.submit(request));
  }
  fake.wait_until_idle();
  uint32_t tokens = 0, events = 0;
  for (const auto& [request, answer] : answers) {
    fake.expect_as_alone(request, *answer);
    tokens += static_cast<uint32_t>(answer->tokens.size());
    events += static_cast<uint32_t>(answer->events);
  }
  EXPECT_LT(events, tokens) << "some came several at a time";
}

TEST_P(DraftTest, ConversationsFindWhatWasRightAndNothingElse) {
  FakeEngine fake(setup(5, 3));
  std::vector<int32_t> tokens = some_tokens(400, 1);
  for (uint64_t turn = 0; turn < 10; ++turn) {
    const Request request = greedy(tokens, 50);
    const auto answer = fake.submit(request);
    fake.wait_until_idle();
    fake.expect_as_alone(request, *answer);
    const uint32_t new_tokens = turn == 0 ? 400 : 30 + 2 * kBlockTokens;
    EXPECT_GE(answer->usage.cached_tokens + new_tokens, tokens.size()) << "turn " << turn;
    tokens.insert(tokens.end(), answer->tokens.begin(), answer->tokens.end());
    const std::vector<int32_t> question = some_tokens(30, 100 + turn);
    tokens.insert(tokens.end(), question.begin(), question.end());
  }
}

TEST_P(DraftTest, NoStepRunsAheadOfThem) {
  FakeEngine::Setup ahead = setup(3, 3);
  ahead.ahead = true;
  FakeEngine fake(ahead);
  const Request request = greedy(some_tokens(20, 1), 40);
  const auto answer = fake.submit(request);
  fake.wait_until_idle();
  fake.expect_as_alone(request, *answer);
  EXPECT_EQ(fake.program->steps_ahead, 0U);
  EXPECT_LT(fake.program->steps, 40U);
}

INSTANTIATE_TEST_SUITE_P(
    Kinds, DraftTest,
    testing::Values(Kind{"positions", {{.window = 0}}}, Kind{"windows", {{.window = 0}, {.window = 1}, {.window = 20}}},
                    Kind{"states", {{.keeps_states = true}}}, Kind{"hybrid", {{.keeps_states = true}, {.window = 0}}},
                    Kind{"hybrid_with_windows", {{.window = 18}, {.keeps_states = true}, {.window = 0}}}),
    [](const auto& test) { return test.param.name; });

}  // namespace
}  // namespace hearth
