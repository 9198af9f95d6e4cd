// Conversations compute again only what is new, whatever kinds of layers remember.

#include <gtest/gtest.h>

#include "engine/testing/engine_fixture.h"

namespace hearth {
namespace {

struct Kind {
  std::string name;
  std::vector<CacheGroup> groups;
};

class ConversationTest : public testing::TestWithParam<Kind> {
 protected:
  FakeEngine::Setup setup() const {
    FakeEngine::Setup setup;
    setup.groups = GetParam().groups;
    setup.blocks.clear();
    for (const CacheGroup& group : setup.groups) setup.blocks.push_back(group.keeps_states ? 16 : 512);
    setup.context_length = 8192;
    setup.options = {.max_sequences = 4, .max_batched_tokens = 256};
    return setup;
  }
};

TEST_P(ConversationTest, TenTurnsComputeEachTokenOnce) {
  FakeEngine fake(setup());
  std::vector<int32_t> tokens = some_tokens(400, 1);
  for (uint64_t turn = 0; turn < 10; ++turn) {
    const size_t before = tokens.size();
    const uint64_t computed = fake.program->tokens_computed;
    const Request request = greedy(tokens, 50);
    const auto answer = fake.submit(request);
    fake.wait_until_idle();
    fake.expect_as_alone(request, *answer);
    tokens.insert(tokens.end(), answer->tokens.begin(), answer->tokens.end());
    const std::vector<int32_t> question = some_tokens(30, 100 + turn);
    tokens.insert(tokens.end(), question.begin(), question.end());

    // The question, the answer, and at most the block in which the last answer ended.
    const uint64_t again = turn == 0 ? before + 50 : 30 + 50 + kBlockTokens;
    EXPECT_LE(fake.program->tokens_computed - computed, again) << "turn " << turn;
  }
}

TEST_P(ConversationTest, OneThatIsAskedAgainComputesItsEndOnly) {
  FakeEngine fake(setup());
  const Request request = greedy(some_tokens(900, 2), 1);
  fake.submit(request);
  fake.wait_until_idle();
  const uint64_t computed = fake.program->tokens_computed;
  const auto answer = fake.submit(request);
  fake.wait_until_idle();
  fake.expect_as_alone(request, *answer);
  EXPECT_LE(fake.program->tokens_computed - computed, kBlockTokens);
}

TEST_P(ConversationTest, AForkAnywhereInALongPromptComputesOnlySoMuchAgain) {
  FakeEngine fake(setup());
  std::vector<int32_t> tokens = some_tokens(8000, 3);
  fake.submit(greedy(tokens, 1));
  fake.wait_until_idle();
  for (const size_t fork : {7900, 6000, 4100, 2500, 1900}) {
    std::vector<int32_t> other(tokens.begin(), tokens.begin() + static_cast<ptrdiff_t>(fork));
    const std::vector<int32_t> end = some_tokens(20, fork);
    other.insert(other.end(), end.begin(), end.end());
    const uint64_t computed = fake.program->tokens_computed;
    const auto answer = fake.submit(greedy(other, 1));
    fake.wait_until_idle();
    // A fifth or a thousand tokens between what is kept, a chunk that ends behind the place where that would be, and
    // the end.
    EXPECT_LE(fake.program->tokens_computed - computed, std::max<size_t>(fork / 5, 1024) + 256 + 20) << fork;
  }
}

TEST_P(ConversationTest, PromptsThatBeginAlikeWaitForWhatTheyShare) {
  FakeEngine::Setup with_messages = setup();
  FakeEngine fake(with_messages);
  std::vector<int32_t> shared = some_tokens(800, 4);
  for (uint64_t i = 0; i < 4; ++i) fake.submit(greedy(shared, 1));
  fake.wait_until_idle();
  EXPECT_LE(fake.program->tokens_computed, 800U + 3 * kBlockTokens);
}

INSTANTIATE_TEST_SUITE_P(
    Kinds, ConversationTest,
    testing::Values(Kind{"positions", {{.window = 0}}}, Kind{"windows", {{.window = 0}, {.window = 64}}},
                    Kind{"states", {{.keeps_states = true}}}, Kind{"hybrid", {{.keeps_states = true}, {.window = 0}}},
                    Kind{"hybrid_with_windows", {{.window = 128}, {.keeps_states = true}, {.window = 0}}}),
    [](const auto& test) { return test.param.name; });

}  // namespace
}  // namespace hearth
