#include "app/measure.h"

#include <gtest/gtest.h>

#include "engine/cache_plan.h"
#include "engine/kv_cache.h"

namespace hearth::app {
namespace {

TEST(Measure, CacheHoldsAllSequencesSideBySide) {
  // More than the gibibyte that a plan takes by itself: as many bytes a token as Gemma 3 27B has, in two groups.
  const std::vector<CacheGroup> groups = {{.window = 1024, .bytes_per_block = 52 * 16 * 8192},
                                          {.window = 0, .bytes_per_block = 10 * 16 * 8192}};
  for (const uint32_t sequences : {1U, 32U, 64U}) {
    for (const uint32_t tokens_each : {48U, 270U}) {
      EngineOptions options{.context_length = 2064, .max_sequences = sequences};
      options.cache_bytes = cache_bytes_side_by_side(groups, options.context_length, sequences, tokens_each);
      const CacheMemory memory = {.memory = {.free_bytes = uint64_t{80} << 30},
                                  .bytes_per_block = {groups[0].bytes_per_block, groups[1].bytes_per_block},
                                  .most_layer_bytes = {16 * 8192, 16 * 8192}};
      const auto plan = plan_cache(groups, 131072, options, {{memory}}, 0);
      ASSERT_TRUE(plan) << to_string(plan.error());
      for (size_t g = 0; g < groups.size(); ++g) {
        const uint64_t needed =
            uint64_t{sequences} * KvCache::blocks_needed(groups[g], tokens_each, options.max_batched_tokens);
        EXPECT_GE(plan->blocks_per_group[g], needed) << sequences << " of " << tokens_each << ", group " << g;
      }
    }
  }
}

}  // namespace
}  // namespace hearth::app
