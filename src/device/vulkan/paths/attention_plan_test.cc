// The laws of how attention is cut, over devices, shapes, tunings and mixes of sequences; no device is needed.

#include "device/vulkan/paths/attention_plan.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <bit>
#include <functional>
#include <random>
#include <tuple>

#include "device/vulkan/recording/step_recorder.h"

namespace hearth::vulkan {
namespace {

struct Shape {
  uint32_t heads, kv_heads, head_dim, window;
};

const std::vector<Shape> kShapes = {{4, 4, 64, 0},  {8, 2, 128, 0},  {32, 16, 128, 1024}, {28, 4, 128, 0},
                                    {6, 2, 80, 0},  {12, 1, 64, 40}, {32, 2, 48, 1},      {2, 1, 256, 512},
                                    {2, 1, 512, 0}, {4, 2, 24, 100}, {40, 8, 128, 0},     {71, 71, 64, 300},
                                    {64, 1, 128, 0}};

GpuProperties gpu_of(uint32_t subgroup, uint32_t shared_bytes, uint32_t units, uint32_t matrix) {
  GpuProperties gpu;
  gpu.name = "test";
  gpu.type = VK_PHYSICAL_DEVICE_TYPE_DISCRETE_GPU;
  gpu.subgroup_size = subgroup;
  gpu.shared_memory_bytes = shared_bytes;
  gpu.max_workgroup_threads = 1024;
  gpu.compute_units = units;
  gpu.float16 = true;
  if (matrix > 0) gpu.cooperative_matrices = {{matrix, matrix, matrix, "f16", "f32"}, {16, 16, 32, "i8", "i32"}};
  return gpu;
}

/// A processor, RDNA3 in both widths, NVIDIA, and something small that says little about itself.
std::vector<GpuProperties> gpus() {
  return {gpu_of(8, 32768, 0, 8), gpu_of(32, 65536, 12, 16), gpu_of(64, 65536, 40, 16), gpu_of(32, 49152, 132, 16),
          gpu_of(16, 16384, 0, 0)};
}

Recording recording_of(const Shape& shape) {
  Recording recording;
  recording.operations = {
      RopeAndStore{.heads = shape.heads, .kv_heads = shape.kv_heads, .head_dim = shape.head_dim, .out = {1}},
      Attention{.query = {1},
                .heads = shape.heads,
                .kv_heads = shape.kv_heads,
                .head_dim = shape.head_dim,
                .window = shape.window,
                .out = {2}}};
  return recording;
}

const Attention& attention_of(const Recording& recording) { return std::get<Attention>(recording.operations[1]); }

constexpr ProgramLimits kLimits = {.tokens = 512, .logit_rows = 64, .sequences = 48};

/// Calls `check` for every device, shape and tuning that can be planned.
void for_all(
    const std::function<void(const GpuProperties&, const Tuning&, const Recording&, const AttentionPlan&)>& check) {
  int planned = 0;
  for (const GpuProperties& gpu : gpus()) {
    for (const char* changes :
         {"", "attention_path=1", "attention_path=2", "attention_path=3", "few_tokens_limit=1",
          "attention_subgroups=64", "attention_split_keys=1,attention_workgroups=1000",
          "attention_heads=64,attention_rounds=64", "attention_matrix_subgroups=64,attention_matrix_keys=96"}) {
      Tuning tuning = tuning_for(gpu);
      ASSERT_TRUE(change_tuning(parse_changes(changes).value(), tuning));
      for (const Shape& shape : kShapes) {
        const Recording recording = recording_of(shape);
        const auto plan = AttentionPlan::make(gpu, tuning, recording, kLimits);
        if (!plan) {
          EXPECT_EQ(plan.error().code, ErrorCode::unsupported) << to_string(plan.error());
          EXPECT_EQ(tuning.attention_path, 3U) << "only what was forced may be impossible";
          continue;
        }
        ++planned;
        SCOPED_TRACE(testing::Message() << "subgroup " << gpu.subgroup_size << ", " << shape.heads << " heads, "
                                        << shape.kv_heads << " KV heads of " << shape.head_dim << ", '" << changes
                                        << "'");
        check(gpu, tuning, recording, *plan);
        if (testing::Test::HasFatalFailure()) return;
      }
    }
  }
  EXPECT_GT(planned, 400);
}

/// Sequences of a step within the limits, with one, few or many tokens each.
std::vector<SequenceInput> random_sequences(std::mt19937& random) {
  const bool prompts = random() % 3 > 0, singles = random() % 3 > 0 || !prompts;
  const uint32_t most_drafts = random() % 2 == 0 ? 0 : random() % 10;
  std::vector<SequenceInput> sequences;
  uint32_t next = 0;
  const uint32_t most = random() % kLimits.sequences + 1;
  while (sequences.size() < most) {
    const bool is_answer = singles && (!prompts || random() % 2 == 0);
    const uint32_t count = is_answer ? 1 + random() % (most_drafts + 1) : 2 + random() % 150;
    if (next + count > kLimits.tokens) break;
    sequences.push_back(
        {.first_token = next, .token_count = count, .context_tokens = static_cast<uint32_t>(random() % 5000)});
    next += count;
  }
  if (sequences.empty()) sequences.push_back({.token_count = 2});
  return sequences;
}

TEST(AttentionPlan, TilesOfEveryMixFitIntoTheGridsOfItsBucket) {
  std::mt19937 random(1);
  for_all([&](const auto&, const auto&, const Recording&, const AttentionPlan& plan) {
    for (int repeat = 0; repeat < 20; ++repeat) {
      const auto sequences = random_sequences(random);
      const uint32_t tokens = sequences.back().first_token + sequences.back().token_count;
      const uint32_t bucket = bucket_of(tokens);
      const std::vector<int32_t> ids(tokens, 1);
      const Mix mix = plan.mix({ids, sequences, {}, {}}, bucket);
      // As step_buffer.cc cuts sequences.
      const uint32_t tile_tokens = plan.tile_tokens(bucket);
      const uint32_t apart = plan.tokens_apart({ids, sequences, {}, {}}, bucket);
      uint32_t singles = 0, tiles = 0;
      for (const SequenceInput& sequence : sequences) {
        if (sequence.token_count <= apart) {
          singles += sequence.token_count;
        } else {
          tiles += divide_up(sequence.token_count, tile_tokens);
        }
      }
      ASSERT_LE(singles, plan.single_tiles(bucket, mix));
      const bool has_tiles = mix == Mix::prompts || mix == Mix::both;
      ASSERT_FALSE(has_tiles && plan.path(bucket) == AttentionPath::few);
      ASSERT_LE(tiles, has_tiles ? plan.token_tiles(bucket) : 0);
      ASSERT_LE(plan.token_tiles(bucket), bucket);
    }
  });
}

TEST(AttentionPlan, TheMixIsWhatTheSequencesBring) {
  std::mt19937 random(2);
  for_all([&](const auto&, const auto&, const Recording&, const AttentionPlan& plan) {
    const auto sequences = random_sequences(random);
    const uint32_t tokens = sequences.back().first_token + sequences.back().token_count;
    const std::vector<int32_t> ids(tokens, 1);
    const StepInput input = {ids, sequences, {}, {}};
    const Mix mix = plan.mix(input, bucket_of(tokens));
    const auto count_up_to = [&](uint32_t most) {
      return std::ranges::count_if(
          sequences, [most](uint32_t n) { return n <= most; }, &SequenceInput::token_count);
    };
    const auto all = static_cast<long>(sequences.size());
    const bool all_single = count_up_to(1) == all;
    const auto apart = count_up_to(plan.tokens_apart(input, bucket_of(tokens)));
    ASSERT_EQ(mix == Mix::single_tokens, all_single);
    ASSERT_EQ(mix == Mix::apart, !all_single && apart == all);
    ASSERT_EQ(mix == Mix::both, apart > 0 && apart < all);
    ASSERT_EQ(plan.fuses(mix), all_single) << "tokens of one sequence would not wait for each other's K and V";
  });
}

/// What verifies a few drafts is not left to one workgroup of each KV head, whatever else is in the step.
TEST(AttentionPlan, FewTokensOfASequenceAreApartAsFarAsTheGridsReach) {
  for_all([&](const auto&, const auto&, const Recording&, const AttentionPlan& plan) {
    const auto mix_of = [&](const std::vector<uint32_t>& counts) {
      std::vector<SequenceInput> sequences;
      uint32_t next = 0;
      for (const uint32_t count : counts) {
        sequences.push_back({.first_token = next, .token_count = count, .context_tokens = 4000});
        next += count;
      }
      const std::vector<int32_t> ids(next, 1);
      return plan.mix({ids, sequences, {}, {}}, bucket_of(next));
    };
    for (const uint32_t rows : {2U, 5U, 8U}) {
      ASSERT_EQ(mix_of({rows}), Mix::apart);
      ASSERT_EQ(mix_of({rows, 1, rows, rows, 1}), Mix::apart);
      ASSERT_EQ(mix_of(std::vector<uint32_t>(32 / rows, rows)), Mix::apart);
      const bool all_apart = plan.path(512) == AttentionPath::few;
      ASSERT_EQ(mix_of(std::vector<uint32_t>(32 / rows + 1, rows)),
                plan.path(bucket_of((32 / rows + 1) * rows)) == AttentionPath::few ? Mix::apart : Mix::prompts);
      ASSERT_EQ(mix_of({rows, 400, rows, 1}), all_apart ? Mix::apart : Mix::both);
    }
  });
}

TEST(AttentionPlan, PartsHoldEachQueryHeadOnce) {
  for_all([](const GpuProperties& gpu, const auto&, const Recording& recording, const AttentionPlan& plan) {
    const Attention& op = attention_of(recording);
    const uint32_t group = op.heads / op.kv_heads;
    for (const uint32_t singles : {1U, 7U, 48U, 512U}) {
      const FewAttention few = plan.few(op, singles);
      ASSERT_GE(few.heads * few.parts, group);
      ASSERT_LT(few.heads * (few.parts - 1), group) << "no part is empty";
      ASSERT_TRUE(std::has_single_bit(few.key_lanes) && few.key_lanes <= gpu.subgroup_size);
      ASSERT_TRUE(std::has_single_bit(few.rounds) && few.rounds <= few.key_lanes && few.rounds <= kBlockTokens);
      ASSERT_GE(few.subgroups, 1U);
      ASSERT_LE(few.subgroups * gpu.subgroup_size, gpu.max_workgroup_threads);
      if (few.subgroups > 1) {
        const uint32_t floats = few.subgroups * few.heads * (op.head_dim + 2) + (few.heads + 2) * op.head_dim + 1;
        ASSERT_LE(4 * floats, gpu.shared_memory_bytes);
      }
    }
  });
}

/// Workgroups that take turns are smaller, where nothing else depends on their size.
TEST(AttentionPlan, CrowdsAreOfSmallerWorkgroups) {
  const Recording recording = recording_of({32, 16, 128, 0});
  GpuProperties gpu = gpu_of(32, 49152, 132, 16);
  const auto subgroups = [&](uint32_t tokens) {
    const AttentionPlan plan = AttentionPlan::make(gpu, tuning_for(gpu), recording, kLimits).value();
    return plan.few(attention_of(recording), tokens).subgroups;
  };
  EXPECT_EQ(subgroups(1), 8U);
  EXPECT_EQ(subgroups(16), 8U);
  EXPECT_EQ(subgroups(64), 4U);
  gpu.type = VK_PHYSICAL_DEVICE_TYPE_INTEGRATED_GPU;
  EXPECT_EQ(subgroups(64), 8U);
}

TEST(AttentionPlan, SplitsCoverEveryContextOnce) {
  for_all([](const auto&, const auto&, const Recording& recording, const AttentionPlan& plan) {
    const Attention& op = attention_of(recording);
    for (const uint32_t singles : {1U, 7U, 512U}) {
      const FewAttention few = plan.few(op, singles);
      ASSERT_GE(few.splits, 1U);
      ASSERT_EQ(few.split_keys % kBlockTokens, 0U);
      ASSERT_GT(few.split_keys, 0U);
      for (const uint32_t position : {0U, 1U, 15U, 16U, 255U, 256U, 4097U, 131071U}) {
        // As attention_few.comp cuts what a token at `position` sees.
        const uint32_t seen = op.window > 0 && position + 1 > op.window ? position + 1 - op.window : 0;
        const uint32_t begin = seen / few.rounds * few.rounds, count = position + 1 - begin;
        const uint32_t stretches = divide_up(count, few.split_keys);
        const uint32_t stretch = std::max(divide_up(stretches, few.splits), 1U) * few.split_keys;
        const uint32_t used = divide_up(count, stretch);
        ASSERT_LE(used, few.splits);
        ASSERT_GE(used * stretch, count);
        ASSERT_LT((used - 1) * stretch, count) << "no stretch is empty";
      }
    }
  });
}

TEST(AttentionPlan, MatricesFitTheDeviceAndTheShape) {
  int used = 0;
  for_all([&](const GpuProperties& gpu, const auto&, const Recording& recording, const AttentionPlan& plan) {
    if (plan.path(512) != AttentionPath::matrices) return;
    const Attention& op = attention_of(recording);
    const MatrixAttention m = plan.matrices(op);
    ++used;
    ASSERT_TRUE(std::ranges::any_of(gpu.cooperative_matrices, [&](const CooperativeMatrixShape& s) {
      return s.inputs == "f16" && s.results == "f32" && s.m == m.rows && s.n == m.columns && s.k == m.depth;
    }));
    ASSERT_EQ(op.head_dim % m.columns + op.head_dim % m.depth + m.keys % m.columns + m.keys % m.depth, 0U);
    ASSERT_LE(m.subgroups * gpu.subgroup_size, gpu.max_workgroup_threads);
    ASSERT_GE(m.subgroups * m.rows, op.heads / op.kv_heads) << "a token with all its query heads";
    ASSERT_GE(plan.tile_tokens(512), 1U);
  });
  EXPECT_GT(used, 50);
}

TEST(AttentionPlan, BatchInvarianceLeavesOneWay) {
  for (const GpuProperties& gpu : gpus()) {
    for (const Shape& shape : kShapes) {
      Tuning tuning = tuning_for(gpu);
      tuning.batch_invariant = 1;
      keep_batch_invariant(tuning);
      const Recording recording = recording_of(shape);
      const AttentionPlan plan = AttentionPlan::make(gpu, tuning, recording, kLimits).value();
      const FewAttention first = plan.few(attention_of(recording), 1);
      for (const uint32_t tokens : {1U, 7U, 48U, 512U}) {
        const FewAttention few = plan.few(attention_of(recording), tokens);
        ASSERT_EQ(std::tie(few.heads, few.parts, few.rounds, few.subgroups, few.split_keys, few.splits),
                  std::tie(first.heads, first.parts, first.rounds, first.subgroups, first.split_keys, first.splits));
        ASSERT_EQ(plan.path(tokens), AttentionPath::few);
      }
      for (const Mix mix : {Mix::single_tokens, Mix::apart, Mix::prompts, Mix::both}) ASSERT_FALSE(plan.fuses(mix));
    }
  }
}

TEST(AttentionPlan, WhatIsForcedAndCannotBeIsAnError) {
  const Recording recording = recording_of({4, 4, 64, 0});
  Tuning tuning;
  tuning.attention_path = 4;
  EXPECT_EQ(AttentionPlan::make(gpus()[1], tuning, recording, kLimits).error().code, ErrorCode::invalid_argument);
  tuning.attention_path = 3;
  EXPECT_TRUE(AttentionPlan::make(gpus()[1], tuning, recording, kLimits));
  EXPECT_EQ(AttentionPlan::make(gpus().back(), tuning, recording, kLimits).error().code, ErrorCode::unsupported);
}

}  // namespace
}  // namespace hearth::vulkan
