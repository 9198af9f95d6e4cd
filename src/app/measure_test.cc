#include "app/measure.h"

#include <gtest/gtest.h>

#include <thread>

#include "engine/cache/cache_plan.h"
#include "engine/testing/engine_fixture.h"

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
            uint64_t{sequences} * cache_blocks_needed(groups[g], tokens_each, options.max_batched_tokens);
        EXPECT_GE(plan->blocks_per_group[g], needed) << sequences << " of " << tokens_each << ", group " << g;
      }
    }
  }
}

/// Each request takes its time to reach the engine, as from a thread that has to wait for a processor.
class SlowlyReached : public Engine {
 public:
  explicit SlowlyReached(Engine& engine) : engine_(engine) {}
  Result<RequestHandle> submit(Request request, EventCallback on_event) override {
    auto sent = engine_.submit(std::move(request), std::move(on_event));
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
    return sent;
  }
  void cancel(RequestHandle handle) override { engine_.cancel(handle); }
  bool drain(std::chrono::milliseconds timeout) override { return engine_.drain(timeout); }
  uint32_t context_length() const override { return engine_.context_length(); }
  const EngineOptions& options() const override { return engine_.options(); }
  EngineMetrics metrics() const override { return engine_.metrics(); }

 private:
  Engine& engine_;
};

TEST(Measure, ShortSequencesRunSideBySideHoweverSlowlyTheyAreSent) {
  FakeEngine fake({});
  SlowlyReached engine(*fake.engine);
  EngineMeter meter(engine, 97);
  const auto measured = meter.decode(4, 1, 16);
  ASSERT_TRUE(measured) << to_string(measured.error());
  EXPECT_GE(measured->tokens, 4 * 10);
}

TEST(Measure, SequencesThatTheEngineRefusesAreAnError) {
  FakeEngine fake({.options = {.max_sequences = 1, .max_waiting = 1}});
  EngineMeter meter(*fake.engine, 97);
  const auto measured = meter.decode(8, 1, 16);
  ASSERT_FALSE(measured);
  EXPECT_EQ(measured.error().code, ErrorCode::overloaded);
}

}  // namespace
}  // namespace hearth::app
