// Tuning by names, and plans for what a sweep or a person may ask for.

#include "device/vulkan/paths/tuning.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <bit>

#include "device/vulkan/paths/few_path.h"
#include "device/vulkan/paths/matmul_tunings.h"
#include "device/vulkan/paths/tuning_fields.h"
#include "device/vulkan/shaders/layout.h"

namespace hearth::vulkan {
namespace {

TEST(Tuning, EveryFieldCanBeSetByItsName) {
  // A number of its own for each field, so that no two names can lead to one field.
  TuningChanges changes = all_fields(Tuning());
  EXPECT_TRUE(changes.contains("few_tokens_limit"));
  EXPECT_TRUE(changes.contains("gate_up.split"));
  EXPECT_TRUE(changes.contains("matrix16.buffers"));
  uint32_t next = 1000;
  for (auto& [name, value] : changes) value = next++;
  Tuning tuning;
  ASSERT_TRUE(change_tuning(changes, tuning));
  EXPECT_EQ(all_fields(tuning), changes);
  EXPECT_EQ(tuning.gate_up.split, changes.at("gate_up.split"));
}

TEST(Tuning, ChangesAsText) {
  const auto changes = parse_changes("gate_up.rows=8,attention_keys=32");
  ASSERT_TRUE(changes);
  EXPECT_EQ(*changes, (TuningChanges{{"attention_keys", 32}, {"gate_up.rows", 8}}));
  EXPECT_EQ(parse_changes(text_of(*changes)).value(), *changes);
  EXPECT_TRUE(parse_changes("").value().empty());
  for (const char* wrong :
       {"gate_up.row=8", "gate_up.rows", "gate_up.rows=", "gate_up.rows=x", "=1", "rows=1", "a,b"}) {
    const auto parsed = parse_changes(wrong);
    ASSERT_FALSE(parsed) << wrong;
    EXPECT_EQ(parsed.error().code, ErrorCode::invalid_argument);
  }
  Tuning tuning;
  EXPECT_FALSE(change_tuning({{"no_such_field", 1}}, tuning));
}

TEST(Tuning, KnowsWhatConcernsMatmuls) {
  EXPECT_TRUE(changes_matmuls({{"attention_path", 2}, {"matrix.depth", 1}}));
  EXPECT_FALSE(changes_matmuls({{"attention_path", 2}, {"norm_threads", 128}}));
  EXPECT_FALSE(changes_matmuls({}));
  EXPECT_TRUE(changes_others({{"attention_path", 2}, {"matrix.depth", 1}}));
  EXPECT_FALSE(changes_others({{"matrix.depth", 1}, {"few_tokens_limit", 0}}));
}

/// Whatever is asked for, the few-token shaders get numbers that they can divide by and the device can hold.
TEST(FewPath, FitsAnythingToTheDevice) {
  GpuProperties gpu;
  gpu.max_workgroup_threads = 1024;
  for (const uint32_t lanes : {8U, 32U, 64U}) {
    gpu.subgroup_size = lanes;
    gpu.shared_memory_bytes = lanes == 8 ? 16384 : 49152;
    for (const uint32_t value : {0U, 1U, 3U, 8U, 16U, 1000U}) {
      for (const uint32_t tokens : {1U, 16U}) {
        for (const uint32_t matrices : {1U, 2U}) {
          const FewTokensTuning wanted = {
              .subgroups = value, .rows = value, .split = value, .unroll = value, .cluster = value};
          const FewPlan plan = plan_few_path(gpu, wanted, value, shared::kEncodingQ4_0, matrices, tokens);
          const FewTokensTuning& t = plan.tuning;
          EXPECT_LE(plan.threads, gpu.max_workgroup_threads);
          EXPECT_EQ(plan.threads, t.subgroups * lanes);
          EXPECT_TRUE(std::has_single_bit(t.rows) && std::has_single_bit(t.cluster) && std::has_single_bit(t.split));
          EXPECT_EQ(t.subgroups % t.split, 0U);
          EXPECT_TRUE(t.cluster >= 8 && t.cluster <= lanes);
          EXPECT_GE(plan.outputs, 1U);
          EXPECT_LE(uint64_t{4} * matrices * t.split * tokens * plan.outputs, gpu.shared_memory_bytes);
        }
      }
    }
  }
}

TEST(FewPath, TheOrderOfSumsDoesNotDependOnTheCountOfTokens) {
  GpuProperties gpu;
  gpu.max_workgroup_threads = 1024;
  gpu.shared_memory_bytes = 16384;
  for (const uint32_t lanes : {8U, 32U, 64U}) {
    gpu.subgroup_size = lanes;
    for (uint32_t size = 1; size <= 256; size *= 2) {
      const FewTokensTuning wanted = {.subgroups = size, .rows = 16, .split = size / 2, .cluster = size};
      for (const uint32_t encoding : {shared::kEncodingF32, shared::kEncodingQ4_0}) {
        const FewTokensTuning first = plan_few_path(gpu, wanted, 1000, encoding, 2, 1).tuning;
        for (uint32_t tokens = 2; tokens <= 16; ++tokens) {
          const FewTokensTuning t = plan_few_path(gpu, wanted, 1000, encoding, 2, tokens).tuning;
          EXPECT_EQ(t.split, first.split) << size << ", " << tokens << " tokens";
          EXPECT_EQ(t.cluster, first.cluster);
        }
      }
    }
  }
}

TEST(FewPath, WaitsForAllLoadsTogetherUpToSoManyTokens) {
  GpuProperties gpu;
  gpu.max_workgroup_threads = 1024;
  gpu.subgroup_size = 32;
  gpu.shared_memory_bytes = 49152;
  for (const uint32_t tokens : {1U, 4U, 5U, 16U}) {
    const FewPlan plan = plan_few_path(gpu, {.joined = 4}, 32, shared::kEncodingQ4_0, 1, tokens);
    EXPECT_EQ(plan.tuning.joined, tokens <= 4 ? 1U : 0U) << tokens;
  }
}

TEST(FewPath, WorkgroupsShareABucketEqually) {
  Tuning tuning;
  EXPECT_EQ(workgroup_tokens(tuning, 16), 16U);
  tuning.batch_invariant = 1;
  for (uint32_t tokens = 1; tokens <= 4096; tokens = bucket_of(tokens + 1)) {
    const uint32_t each = workgroup_tokens(tuning, tokens);
    EXPECT_TRUE(each >= 1 && each <= 8 && tokens % each == 0) << tokens;
    EXPECT_GE(each, std::min(tokens, 5U)) << "weights are read for several tokens at a time";
  }
}

MeasuredTuning changed(const std::string& name, uint32_t value) { return {.changes = {{name, value}}}; }

TEST(MatmulTunings, AnswersForWhatWasMeasured) {
  Tuning base;
  base.few_tokens_limit = 8;
  MatmulTunings tunings(base);
  const std::string shape = "linear 64 to 64 q4_0";
  ASSERT_TRUE(tunings.set({{shape,
                            {{8, changed("few_tokens_limit", 5)},
                             {64, changed("few_tokens_limit", 6)},
                             {512, changed("few_tokens_limit", 7)}}}}));
  const auto limit = [&](uint32_t tokens) { return tunings.of(shape, tokens).few_tokens_limit; };
  EXPECT_EQ(limit(8), 5U);
  EXPECT_EQ(limit(7), 8U) << "not measured, so the table's";
  EXPECT_EQ(limit(9), 8U);
  EXPECT_EQ(limit(49), 6U) << "the bucket of 64";
  EXPECT_EQ(limit(128), 8U) << "64 has a kernel of its own and says nothing of more";
  EXPECT_EQ(limit(512), 7U);
  EXPECT_EQ(limit(4096), 7U) << "as the most that was measured";
  EXPECT_EQ(tunings.of("another", 8).few_tokens_limit, 8U);
  EXPECT_EQ(tunings.origin(shape, 8), TuningOrigin::measured);
  EXPECT_EQ(tunings.origin(shape, 7), TuningOrigin::table);

  EXPECT_FALSE(tunings.set({{shape, {{8, changed("no_such_field", 5)}}}}));
  EXPECT_EQ(limit(8), 5U) << "a wrong set changes nothing";
}

}  // namespace
}  // namespace hearth::vulkan
