#include "engine/step_budget.h"

#include <gtest/gtest.h>

#include <vector>

namespace hearth {
namespace {

constexpr uint64_t kGiB = uint64_t{1} << 30;

CacheMemory memory(DeviceMemory::Kind kind, std::optional<uint64_t> free_bytes) {
  return {.memory = {.kind = kind, .pool = 1, .free_bytes = free_bytes}, .bytes_per_block = {}, .most_layer_bytes = {}};
}

const CacheMemory kLargeGpu = memory(DeviceMemory::Kind::own, 40 * kGiB);

uint32_t budget(const std::vector<CacheMemory>& memories, const EngineOptions& options = {.larger_steps = true}) {
  return step_budget(options, memories, kGiB / 2);
}

TEST(StepBudget, IsLargerWhereEveryMemoryHasRoom) {
  EXPECT_EQ(budget({kLargeGpu}), kLargeStep);
  EXPECT_EQ(budget({kLargeGpu, kLargeGpu}), kLargeStep);
}

TEST(StepBudget, IsTheUsualOneElsewhere) {
  const uint32_t usual = EngineOptions().max_batched_tokens;
  EXPECT_EQ(budget({kLargeGpu, memory(DeviceMemory::Kind::own, 7 * kGiB)}), usual) << "a step would take its cache";
  EXPECT_EQ(budget({memory(DeviceMemory::Kind::own, {})}), usual) << "nobody knows what is free";
  EXPECT_EQ(budget({memory(DeviceMemory::Kind::integrated, 40 * kGiB)}), usual);
  EXPECT_EQ(budget({kLargeGpu, memory(DeviceMemory::Kind::system, 40 * kGiB)}), usual) << "the processor is slow";
  EXPECT_EQ(budget({}), usual);
}

TEST(StepBudget, IsWhatWasAskedFor) {
  EXPECT_EQ(budget({kLargeGpu}, {.max_batched_tokens = 300}), 300U);
  EXPECT_EQ(budget({kLargeGpu}, {.max_batched_tokens = 4096, .larger_steps = true}), 4096U);
}

}  // namespace
}  // namespace hearth
