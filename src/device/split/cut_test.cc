#include "device/split/cut.h"

#include <gtest/gtest.h>

namespace hearth::split {
namespace {

/// Two layers of a norm and a matmul each, behind an embedding that is the head too.
struct TwoLayers {
  enum Tensor : uint32_t { residual, normed, branch, selected, logits };
  enum Matrix : uint32_t { embedding, first, second };
  enum Vector : uint32_t { first_norm, second_norm, last_norm };

  Recording recording = {
      .tensors = {{"residual", Rows::tokens, 64},
                  {"normed", Rows::tokens, 64},
                  {"branch", Rows::tokens, 64},
                  {"selected", Rows::logits, 64},
                  {"logits", Rows::logits, 100}},
      .ropes = {},
      .operations = {Embed{.table = {embedding}, .out = {residual}},
                     AddNorm{.residual = {residual}, .norm = VectorId{first_norm}, .out = TensorId{normed}},
                     Linear{.in = {normed}, .weight = {first}, .out = {branch}},
                     AddNorm{.residual = {residual},
                             .branch = TensorId{branch},
                             .norm = VectorId{second_norm},
                             .out = TensorId{normed}},
                     Linear{.in = {normed}, .weight = {second}, .out = {branch}},
                     AddNorm{.residual = {residual},
                             .branch = TensorId{branch},
                             .norm = VectorId{last_norm},
                             .out = TensorId{normed}},
                     SelectRows{.in = {normed}, .out = {selected}},
                     Logits{.in = {selected}, .head = {embedding}, .out = {logits}}},
      .logits = {logits}};
  Places places = {
      .matrices = {{{0, 0}, {1, 0}}, {{0, 1}}, {{1, 1}}}, .vectors = {{0, 0}, {1, 0}, {1, 1}}, .cache_layers = {}};
};

TEST(CutRecording, OnlyTheResidualCrossesBetweenLayers) {
  const TwoLayers model;
  const auto parts = cut_recording(model.recording, model.places, 2);
  ASSERT_TRUE(parts) << to_string(parts.error());
  const StageRecording &before = (*parts)[0], &behind = (*parts)[1];
  EXPECT_EQ(before.operations, (std::vector<uint32_t>{0, 1, 2, 3}));
  EXPECT_EQ(behind.operations, (std::vector<uint32_t>{3, 4, 5, 6, 7})) << "operation 3 is cut in two";
  ASSERT_EQ(before.recording.outputs.size(), 1U);
  EXPECT_EQ(before.recording.outputs[0].index, uint32_t{TwoLayers::residual});
  ASSERT_EQ(behind.recording.inputs.size(), 1U);
  EXPECT_EQ(behind.recording.inputs[0].index, uint32_t{TwoLayers::residual});
  EXPECT_EQ(behind.sources[0].stage, 0U);
  EXPECT_EQ(behind.sources[0].output, 0U);
  EXPECT_TRUE(before.recording.inputs.empty());
  EXPECT_TRUE(behind.recording.outputs.empty());

  const auto& added = std::get<AddNorm>(before.recording.operations.back());
  EXPECT_TRUE(added.branch);
  EXPECT_FALSE(added.norm || added.out);
  const auto& normed = std::get<AddNorm>(behind.recording.operations.front());
  EXPECT_FALSE(normed.branch);
  EXPECT_EQ(normed.norm->index, 0U) << "the second device's own number";
}

TEST(CutRecording, WhatIsScaledBeforeACutIsNotScaledBehindIt) {
  TwoLayers model;
  std::get<AddNorm>(model.recording.operations[3]).residual_scale = 0.5F;
  const auto parts = cut_recording(model.recording, model.places, 2).value();
  EXPECT_EQ(std::get<AddNorm>(parts[0].recording.operations.back()).residual_scale, 0.5F);
  EXPECT_EQ(std::get<AddNorm>(parts[1].recording.operations.front()).residual_scale, 1.0F);
}

TEST(CutRecording, LogitsAreTheLastDevices) {
  const TwoLayers model;
  const auto parts = cut_recording(model.recording, model.places, 2).value();
  EXPECT_FALSE(parts[0].recording.has_logits || parts[0].uses_logit_rows);
  EXPECT_TRUE(parts[1].recording.has_logits && parts[1].uses_logit_rows);
  EXPECT_EQ(std::get<Embed>(parts[0].recording.operations.front()).table.index, 0U);
  EXPECT_EQ(std::get<Logits>(parts[1].recording.operations.back()).head.index, 0U);
}

TEST(CutRecording, WhatIsReadFurtherOnComesFromWhereItWasWritten) {
  TwoLayers model;
  // The second layer's matmul and norm on a third device: the branch crosses one border, the residual two.
  model.places.matrices[TwoLayers::second] = {{2, 0}};
  model.places.matrices[TwoLayers::embedding] = {{0, 0}, {2, 1}};
  model.places.vectors[TwoLayers::last_norm] = {2, 0};
  const auto parts = cut_recording(model.recording, model.places, 3).value();
  EXPECT_EQ(parts[1].recording.operations.size(), 1U);
  ASSERT_EQ(parts[2].recording.inputs.size(), 2U);
  EXPECT_EQ(parts[2].recording.inputs[0].index, uint32_t{TwoLayers::normed});
  EXPECT_EQ(parts[2].sources[0].stage, 1U);
  EXPECT_EQ(parts[2].recording.inputs[1].index, uint32_t{TwoLayers::residual});
  EXPECT_EQ(parts[2].sources[1].stage, 0U) << "the second device only reads it";
}

TEST(CutRecording, RefusesWhatCannotBeCut) {
  TwoLayers model;
  model.places.matrices[TwoLayers::second] = {{0, 2}};
  EXPECT_EQ(cut_recording(model.recording, model.places, 2).error().code, ErrorCode::internal) << "back to the first";
  EXPECT_EQ(cut_recording(TwoLayers().recording, TwoLayers().places, 3).error().code, ErrorCode::internal)
      << "nothing for the third";
  TwoLayers open;
  open.recording.inputs = {{TwoLayers::residual}};
  EXPECT_EQ(cut_recording(open.recording, open.places, 2).error().code, ErrorCode::internal);
  TwoLayers unwritten;
  unwritten.recording.operations.erase(unwritten.recording.operations.begin());
  EXPECT_EQ(cut_recording(unwritten.recording, unwritten.places, 2).error().code, ErrorCode::internal);
}

}  // namespace
}  // namespace hearth::split
