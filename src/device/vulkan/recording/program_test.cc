// What a program makes of a step beside its operations: candidates, steps in flight, submits.

#include "device/vulkan/recording/program.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <limits>
#include <random>

#include "device/vulkan/testing/device_fixture.h"
#include "device/vulkan/testing/test_model.h"

namespace hearth::vulkan {
namespace {

constexpr float kInfinity = std::numeric_limits<float>::infinity();

class ProgramTest : public DeviceTest {
 protected:
  std::unique_ptr<Program> compile(const TestModel& model, const ProgramLimits& limits) {
    auto program = model.compile(*device_, limits);
    EXPECT_TRUE(program) << to_string(program.error());
    return std::move(*program);
  }
};

/// Token t is row t of the unit matrix, so its logits are column t of the head, exactly.
constexpr uint32_t kColumns = 32;

TestModel model_of_columns(const std::vector<float>& head) {
  TestModel model(1);
  std::vector<float> unit(kColumns * kColumns, 0.0F);
  for (uint32_t i = 0; i < kColumns; ++i) unit[i * kColumns + i] = 1.0F;
  const TensorId in = model.tensor(Rows::tokens, kColumns);
  const TensorId selected = model.tensor(Rows::logits, kColumns);
  model.recording.logits = model.tensor(Rows::logits, static_cast<uint32_t>(head.size() / kColumns));
  model.recording.operations = {
      Embed{.table = model.matrix_of(unit, kColumns), .out = in}, SelectRows{.in = in, .out = selected},
      Logits{.in = selected, .head = model.matrix_of(head, kColumns), .out = model.recording.logits}};
  return model;
}

/// Logits full of ties; some of them NaN and infinite, which by 0 * infinity makes whole rows of the head NaN.
std::vector<float> awkward_head(uint32_t vocabulary, uint32_t seed) {
  std::mt19937 random(seed);
  std::vector<float> head(size_t{vocabulary} * kColumns);
  for (float& value : head) value = static_cast<float>(random() % 1000) / 16.0F - 40.0F;
  for (uint32_t token = 0; token < vocabulary; token += 11) head[token * kColumns + random() % kColumns] = -kInfinity;
  for (uint32_t token = 5; token < vocabulary; token += 97) head[token * kColumns] = kInfinity;
  if (vocabulary > 3) head[3 * kColumns + 3] = std::numeric_limits<float>::quiet_NaN();
  for (uint32_t token = 0; token < vocabulary; token += 5) head[token * kColumns + 1] = token % 2 == 0 ? 0.0F : -0.0F;
  return head;
}

void expect_equal(const StepOutput& is, const StepOutput& should, const std::string& what) {
  ASSERT_EQ(is.candidates.size(), should.candidates.size()) << what;
  for (size_t i = 0; i < is.candidates.size(); ++i) {
    ASSERT_EQ(is.candidates[i].token, should.candidates[i].token) << what << ", candidate " << i;
    ASSERT_EQ(is.candidates[i].logit, should.candidates[i].logit) << what << ", candidate " << i;
  }
  ASSERT_EQ(is.logits.size(), should.logits.size()) << what;
  for (size_t i = 0; i < is.logits.size(); ++i) {
    const bool both_nan = is.logits[i] != is.logits[i] && should.logits[i] != should.logits[i];
    ASSERT_TRUE(is.logits[i] == should.logits[i] || both_nan) << what << ", logit " << i;
  }
}

/// Rows that want one candidate, as many as there may be, some, or all logits, in every order.
std::vector<std::vector<uint32_t>> wishes() {
  std::vector<uint32_t> mixed(37), greedy(70, 1);
  for (size_t i = 0; i < mixed.size(); ++i) mixed[i] = std::array{1U, 0U, 7U, kMaxCandidates, 1U}[i % 5];
  return {{1}, {kMaxCandidates}, {0}, {0, 1}, {1, 0, 3}, {5, 5, 5, 5}, greedy, mixed};
}

TEST_F(ProgramTest, CandidatesAreTheReferences) {
  // Below one stretch of the vocabulary, at its border, and several stretches.
  for (const uint32_t vocabulary : {1U, 2U, 77U, 4096U, 4097U, 20011U}) {
    const TestModel model = model_of_columns(awkward_head(vocabulary, vocabulary));
    const ProgramLimits limits = {.tokens = 80, .logit_rows = 80, .sequences = 1};
    const auto program = compile(model, limits);
    const auto reference = model.compile(*reference_, limits).value();
    TestSteps steps(1, 0, 0, vocabulary);
    for (const std::vector<uint32_t>& wanted : wishes()) {
      if (wanted.size() > 10 && vocabulary > 5000) continue;  // the reference sorts each row
      const auto step = steps.next({static_cast<uint32_t>(wanted.size())}, kColumns);
      StepInput input = step.input();
      input.candidates = wanted;
      const auto result = program->run(input), expected = reference->run(input);
      ASSERT_TRUE(result) << to_string(result.error());
      expect_equal(*result, *expected, fmt::format("vocabulary {}, {} rows", vocabulary, wanted.size()));
    }
  }
}

TEST_F(ProgramTest, CandidatesDoNotDependOnHowTheVocabularyIsCut) {
  const TestModel model = model_of_columns(awkward_head(5003, 1));
  const std::vector<uint32_t> wanted = {kMaxCandidates, 1, 9};
  const auto step = TestSteps(1, 0, 0, 3).next({3}, kColumns);
  StepInput input = step.input();
  input.candidates = wanted;
  const auto reference = model.compile(*reference_, {3, 3, 1}).value();
  const StepOutput expected = reference->run(input).value();
  for (const char* tuning : {"candidate_values=1", "candidate_threads=64,candidate_values=3", "candidate_values=100"}) {
    ASSERT_TRUE(device_->set_tuning(tuning));
    const auto program = compile(model, {3, 3, 1});
    for (int repeat = 0; repeat < 3; ++repeat) {  // counters are left as they were found
      const auto result = program->run(input);
      ASSERT_TRUE(result);
      expect_equal(*result, expected, tuning);
    }
  }
}

TEST_F(ProgramTest, RefusesWishesThatCannotBe) {
  const TestModel model = model_of_columns(awkward_head(77, 1));
  const auto program = compile(model, {4, 4, 1});
  const auto step = TestSteps(1, 0, 0, 3).next({2}, kColumns);
  StepInput input = step.input();
  for (const std::vector<uint32_t>& wanted : {std::vector<uint32_t>{1}, {1, kMaxCandidates + 1}}) {
    input.candidates = wanted;
    EXPECT_EQ(program->run(input).error().code, ErrorCode::internal);
  }
  const std::vector<int32_t> of_nobody = {1, StepInput::best_of_row(0)};
  input = step.input();
  input.token_ids = of_nobody;
  EXPECT_EQ(program->run(input).error().code, ErrorCode::internal) << "no step is in flight";
  EXPECT_FALSE(program->wait());
  EXPECT_TRUE(program->run(step.input()));
}

/// Attention over what came before, so that a wrong token or order of steps shows in every later one.
TestModel small_decoder(uint32_t sequences) {
  constexpr uint32_t kWidth = 128, kHeads = 4, kKvHeads = 2, kHeadDim = 32, kVocabulary = 61;
  TestModel model(5);
  auto& ops = model.recording.operations;
  const TensorId x = model.input(kWidth, kVocabulary);
  const TensorId qkv = model.tensor(Rows::tokens, (kHeads + 2 * kKvHeads) * kHeadDim);
  const TensorId query = model.tensor(Rows::tokens, kHeads * kHeadDim);
  const TensorId mixed = model.tensor(Rows::tokens, kHeads * kHeadDim);
  const TensorId projected = model.tensor(Rows::tokens, kWidth);
  const TensorId selected = model.tensor(Rows::logits, kWidth);
  model.recording.logits = model.tensor(Rows::logits, kVocabulary);
  RopeSpec rope;
  for (uint32_t i = 0; i < kHeadDim / 2; ++i)
    rope.inverse_frequencies.push_back(std::pow(100.0F, -2.0F * i / kHeadDim));
  model.recording.ropes = {rope};
  ops.push_back(Linear{
      .in = x, .weight = model.matrix({{NumberFormat::f16, (kHeads + 2 * kKvHeads) * kHeadDim}}, kWidth), .out = qkv});
  ops.push_back(RopeAndStore{
      .qkv = qkv, .heads = kHeads, .kv_heads = kKvHeads, .head_dim = kHeadDim, .rope = RopeId{0}, .out = query});
  ops.push_back(Attention{.query = query, .heads = kHeads, .kv_heads = kKvHeads, .head_dim = kHeadDim, .out = mixed});
  ops.push_back(
      Linear{.in = mixed, .weight = model.matrix({{NumberFormat::f16, kWidth}}, kHeads * kHeadDim), .out = projected});
  ops.push_back(SelectRows{.in = projected, .out = selected});
  ops.push_back(Logits{
      .in = selected, .head = model.matrix({{NumberFormat::f16, kVocabulary}}, kWidth), .out = model.recording.logits});
  model.cache = {.layers = {{.group = 0, .kind = KeysAndValues{kKvHeads, kHeadDim}}},
                 .blocks_per_group = {8 * sequences}};
  return model;
}

/// Greedy decoding of sequences that begin with the tokens 7, 8, ...; the tokens of all, step after step.
class GreedyDecode {
 public:
  GreedyDecode(Program& program, uint32_t sequences) : program_(program), tables_(sequences), views_(sequences) {
    for (uint32_t s = 0; s < sequences; ++s) {
      for (uint32_t b = 0; b < 8; ++b) tables_[s].push_back(static_cast<int32_t>(s * 8 + b));
      views_[s] = {tables_[s]};
      tokens_.push_back(static_cast<int32_t>(7 + s));
      rows_.push_back(s);
    }
    wanted_.assign(sequences, 1);
  }

  std::vector<int32_t> step_by_step(uint32_t steps) {
    std::vector<int32_t> all;
    for (uint32_t i = 0; i < steps; ++i) {
      submit(i);
      tokens_ = take();
      all.insert(all.end(), tokens_.begin(), tokens_.end());
    }
    return all;
  }

  std::vector<int32_t> ahead(uint32_t steps) {
    std::vector<int32_t> all;
    for (uint32_t i = 0; i <= steps; ++i) {
      if (i < steps) submit(i);
      for (size_t s = 0; s < tokens_.size(); ++s) tokens_[s] = StepInput::best_of_row(static_cast<uint32_t>(s));
      if (i == 0) continue;
      const std::vector<int32_t> taken = take();
      all.insert(all.end(), taken.begin(), taken.end());
    }
    return all;
  }

 private:
  void submit(uint32_t position) {
    std::vector<SequenceInput> sequences;
    for (uint32_t s = 0; s < tokens_.size(); ++s) sequences.push_back({s, 1, position, views_[s]});
    const auto submitted = program_.submit({tokens_, sequences, rows_, wanted_});
    EXPECT_TRUE(submitted) << to_string(submitted.error());
  }

  /// The best tokens of the oldest step.
  std::vector<int32_t> take() {
    const auto output = program_.wait();
    EXPECT_TRUE(output) << to_string(output.error());
    std::vector<int32_t> tokens;
    for (const TokenLogit& candidate : output->candidates) tokens.push_back(candidate.token);
    return tokens;
  }

  Program& program_;
  std::vector<std::vector<int32_t>> tables_;
  std::vector<std::vector<std::span<const int32_t>>> views_;
  std::vector<int32_t> tokens_;
  std::vector<uint32_t> rows_, wanted_;
};

TEST_F(ProgramTest, StepsAheadGiveTheTokensOfStepsOneByOne) {
  for (const uint32_t sequences : {1U, 5U}) {
    const TestModel model = small_decoder(sequences);
    const auto program = compile(model, {.tokens = 5, .logit_rows = 5, .sequences = 5});
    ASSERT_TRUE(program->runs_ahead());
    const std::vector<int32_t> expected = GreedyDecode(*program, sequences).step_by_step(60);
    std::vector<int32_t> different = expected;
    std::ranges::sort(different);
    ASSERT_GT(std::ranges::unique(different).begin() - different.begin(), 5) << "the model must not repeat itself";
    EXPECT_EQ(GreedyDecode(*program, sequences).ahead(60), expected) << sequences;
  }
}

TEST_F(ProgramTest, TwoStepsAtMostAndNoneBehindWholeRows) {
  const TestModel model = model_of_columns(awkward_head(77, 1));
  const auto program = compile(model, {4, 4, 1});
  const auto step = TestSteps(1, 0, 0, 3).next({2}, kColumns);
  const std::vector<uint32_t> greedy = {1, 1};
  StepInput input = step.input();
  input.candidates = greedy;
  ASSERT_TRUE(program->submit(input));
  ASSERT_TRUE(program->submit(step.input()));
  EXPECT_FALSE(program->submit(input)) << "two are in flight";
  ASSERT_EQ(program->wait()->candidates.size(), 2U);
  EXPECT_FALSE(program->submit(input)) << "whole rows are in flight";
  ASSERT_EQ(program->wait()->logits.size(), 2 * 77U);
  EXPECT_EQ(program->run(input)->candidates.size(), 2U);
}

TEST_F(ProgramTest, AStepCutIntoSubmitsGivesTheSameBits) {
  const TestModel model = small_decoder(2);  // for the length of its cache
  const ProgramLimits limits = {.tokens = 100, .logit_rows = 100, .sequences = 1};
  std::vector<std::vector<float>> results;
  std::vector<uint32_t> submits;
  for (const char* tuning : {"submit_mflop=1000", "submit_mflop=8", "submit_mflop=1"}) {
    ASSERT_TRUE(device_->set_tuning(tuning));
    const auto program = compile(model, limits);
    TestSteps steps(1, 1, 16, 3);
    auto& bits = results.emplace_back();
    // Prompts of one bucket: a software GPU compiles for seconds what each needs.
    for (const uint32_t count : {90U, 1U, 70U}) {
      const auto step = steps.next({count}, 61);
      const auto output = program->run(step.input());
      ASSERT_TRUE(output) << to_string(output.error());
      bits.insert(bits.end(), output->logits.begin(), output->logits.end());
      if (count == 90) submits.push_back(static_cast<VulkanProgram&>(*program).statistics(step.input())->submits);
    }
  }
  // 12 million operations. Where launches may be cut, so are the three matmuls and attention.
  EXPECT_EQ(submits[0], 1U);
  EXPECT_TRUE(submits[1] == 2 || submits[1] == 4) << submits[1];
  EXPECT_TRUE(submits[2] == 3 || submits[2] >= 12) << submits[2];
  EXPECT_EQ(results[1], results[0]);
  EXPECT_EQ(results[2], results[0]);
}

}  // namespace
}  // namespace hearth::vulkan
