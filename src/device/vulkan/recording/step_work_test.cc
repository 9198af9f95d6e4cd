// Where steps are cut into submits, and that single operations are cut where they are too much for one.

#include "device/vulkan/recording/step_work.h"

#include <gtest/gtest.h>

#include <array>

#include "device/vulkan/recording/program.h"
#include "device/vulkan/testing/device_fixture.h"
#include "device/vulkan/testing/test_model.h"

namespace hearth::vulkan {
namespace {

/// A recording of one matmul for each of `rows`, over 64 columns, with attention and a norm after the first.
class StepWorkTest : public testing::Test {
 protected:
  static constexpr uint32_t kColumns = 64;

  void SetUp() override {
    auto gpu = Gpu::open({});
    if (!gpu && may_be_missing(gpu.error())) GTEST_SKIP() << to_string(gpu.error());
    ASSERT_TRUE(gpu) << to_string(gpu.error());
    gpu_ = std::move(*gpu);
    weights_.emplace(*gpu_);
    recording_.tensors = {{"in", Rows::tokens, kColumns}};
    for (const uint32_t rows : {64U, 640U, 64U, 6400U, 64U}) {
      const auto matrix = weights_->declare_matrix({.parts = {{"matrix", NumberFormat::f16, rows}}, .cols = kColumns});
      ASSERT_TRUE(matrix) << to_string(matrix.error());
      recording_.operations.push_back(Linear{.in = {0}, .weight = *matrix, .out = {0}});
      if (rows != 640) continue;
      recording_.operations.push_back(Attention{.heads = 4, .kv_heads = 4, .head_dim = 64});
      recording_.operations.push_back(AddNorm{.residual = {0}});
    }
  }

  StepWork work(double most_operations, bool cuts_launches = true) const {
    return {recording_, *weights_, most_operations, cuts_launches};
  }

  static double operations(uint32_t rows, uint32_t tokens) { return 2.0 * rows * kColumns * tokens; }

  /// In order, each operation once, or each of its slices once.
  void expect_whole(const std::vector<StepPiece>& pieces) const {
    size_t next = 0;
    uint32_t slice = 0;
    for (const StepPiece& piece : pieces) {
      ASSERT_EQ(piece.first, next);
      ASSERT_GT(piece.end, piece.first);
      ASSERT_EQ(piece.slice, slice);
      if (piece.slices > 1) {
        ASSERT_EQ(piece.end, piece.first + 1) << "only single operations are sliced";
      }
      slice = piece.slice + 1 == piece.slices ? 0 : piece.slice + 1;
      if (slice == 0) next = piece.end;
    }
    EXPECT_EQ(next, recording_.operations.size());
    EXPECT_TRUE(pieces.back().ends(recording_));
  }

  std::unique_ptr<Gpu> gpu_;
  std::optional<Weights> weights_;
  Recording recording_;
};

TEST_F(StepWorkTest, PiecesAreTheWholeRecordingInOrder) {
  for (const double most : {1e3, 1e5, 1e6, 3e6, 1e7, 1e12}) {
    for (const bool cuts : {false, true}) {
      const StepWork step_work = work(most, cuts);
      for (const uint32_t pieces : {1U, 2U, 4U, 8U}) {
        for (const uint32_t slices : {1U, 4U}) {
          for (const uint32_t tokens : {1U, 7U, 512U}) expect_whole(step_work.cut(pieces, slices, tokens, 1));
        }
      }
    }
  }
}

TEST_F(StepWorkTest, AnOperationThatIsTooMuchIsCut) {
  const double most = operations(640, 10);
  // The large matmul is ten times as much as a submit may be, the others fit into one or two.
  const auto pieces = work(most).cut(16, 1, 10, 1);
  uint32_t slices = 0;
  for (const StepPiece& piece : pieces) {
    if (piece.slices == 1) continue;
    EXPECT_EQ(std::get<Linear>(recording_.operations[piece.first]).weight.index, 3U);
    ++slices;
  }
  EXPECT_EQ(slices, 10U);
  for (const StepPiece& piece : work(most, false).cut(16, 1, 10, 1)) EXPECT_EQ(piece.slices, 1U);
  EXPECT_EQ(work(most).cut(1, 1, 10, 1).size(), 1U) << "one piece is what was asked for";
}

TEST_F(StepWorkTest, AttentionIsCutByWhatItSees) {
  const std::vector<int32_t> ids(100, 1);
  const auto slices = [&](uint32_t context, bool cuts = true) {
    const std::array sequences = {SequenceInput{.first_token = 0, .token_count = 100, .context_tokens = context}};
    return work(4.0 * 4 * 64 * 100 * 1000, cuts).attention_slices({ids, sequences, {}, {}});
  };
  EXPECT_EQ(slices(0), 1U);
  EXPECT_EQ(slices(900), 1U);
  EXPECT_EQ(slices(1900), 2U);
  EXPECT_EQ(slices(2900), 4U);
  EXPECT_EQ(slices(2900, false), 1U);
}

class SlicedLaunchesTest : public DeviceTest {};

/// Bytes of a feed-forward are made after all of its product, and every kernel must be able to begin anywhere.
TEST_F(SlicedLaunchesTest, GiveTheBitsOfWholeOnes) {
  TestModel model(4);
  const TensorId in = model.input(256);
  const TensorId activated = model.tensor(Rows::tokens, 512);
  const TensorId out = model.tensor(Rows::tokens, 160);
  model.recording.operations.push_back(
      GateUp{.in = in,
             .gate_up = model.gate_up_matrix({{NumberFormat::q4_0, 512}, {NumberFormat::q4_0, 512}}, 256),
             .out = activated});
  model.recording.operations.push_back(
      Linear{.in = activated, .weight = model.matrix({{NumberFormat::q4_0, 160}}, 512), .out = out});
  model.result(out);
  std::vector<std::vector<float>> results;
  uint64_t submits = 0;
  for (const char* tuning : {"submit_mflop=1000", "submit_mflop=1"}) {
    ASSERT_TRUE(device_->set_tuning(tuning));
    const auto program = model.compile(*device_, {.tokens = 40, .logit_rows = 40, .sequences = 1}).value();
    TestSteps steps(1, 0, 0, 3);
    auto& bits = results.emplace_back();
    for (const uint32_t count : {40U, 7U}) {
      const auto step = steps.next({count}, 64);
      const auto output = program->run(step.input());
      ASSERT_TRUE(output) << to_string(output.error());
      bits.insert(bits.end(), output->logits.begin(), output->logits.end());
      submits = static_cast<VulkanProgram&>(*program).statistics(step.input())->submits;
    }
  }
  EXPECT_GE(submits, 2U);
  EXPECT_EQ(results[1], results[0]);
}

}  // namespace
}  // namespace hearth::vulkan
