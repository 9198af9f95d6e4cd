// What devices say of their memory: what a plan promises is what a program takes, and what ends gives back what it
// took.

#include <gtest/gtest.h>

#include "device/open_device.h"
#include "model/families/family.h"
#include "model/model.h"
#include "model/place_layers.h"
#include "model/testing/goldens.h"

namespace hearth {
namespace {

struct Case {
  std::string family, device;
};

class MemoryUseTest : public testing::TestWithParam<Case> {
 protected:
  void SetUp() override {
    checkpoint_ = open_checkpoint(goldens() / GetParam().family).value();
    auto device = open_device(GetParam().device, 2);
    if (!device && device.error().code == ErrorCode::unsupported) GTEST_SKIP() << to_string(device.error());
    device_ = std::move(*device);
    model_ = Model::load(*checkpoint_, *device_, {}, progress_, {}).value();
  }

  LatestProgress progress_;
  std::unique_ptr<Checkpoint> checkpoint_;
  std::unique_ptr<Device> device_;
  std::unique_ptr<Model> model_;
};

TEST_P(MemoryUseTest, IsWhatWasPlanned) {
  ASSERT_TRUE(model_->create_cache(std::vector<uint32_t>(model_->cache_groups().size(), 64)));
  uint64_t cache_bytes = 0;
  for (const CacheGroup& group : model_->cache_groups()) cache_bytes += 64 * group.bytes_per_block;

  MemoryUse before;
  for (const uint32_t tokens : {1U, 64U, 1024U}) {
    const ProgramLimits limits = {.tokens = tokens, .logit_rows = 16, .sequences = 8};
    const uint64_t planned = model_->program_bytes(limits).value();
    const auto program = model_->compile(limits).value();
    const MemoryUse use = program->memory_use().at(0).use;
    EXPECT_NEAR(use.of(MemoryOwner::weights), device_->weight_bytes(), 0.01 * device_->weight_bytes() + 4096);
    EXPECT_NEAR(use.of(MemoryOwner::cache), cache_bytes, 0.01 * cache_bytes + 4096);
    EXPECT_NEAR(use.of(MemoryOwner::activations), planned, 0.01 * planned + 4096) << tokens;
    const auto second = model_->compile(limits).value();
    EXPECT_EQ(second->memory_use().at(0).use.of(MemoryOwner::activations), 2 * use.of(MemoryOwner::activations));
    EXPECT_EQ(second->memory_use().at(0).use.of(MemoryOwner::weights), use.of(MemoryOwner::weights));
  }
}

INSTANTIATE_TEST_SUITE_P(Devices, MemoryUseTest,
                         testing::Values(Case{"llama", "cpu"}, Case{"gemma3_text", "cpu"}, Case{"qwen3_moe", "cpu"},
                                         Case{"gemma4_text_soft", "cpu"}, Case{"llama", "vulkan"},
                                         Case{"qwen3_moe", "vulkan"}, Case{"llama", "reference"}),
                         [](const auto& test) { return test.param.family + "_" + test.param.device; });

TEST(MemoryLedger, EntriesLiveAsLongAsTheirMemory) {
  MemoryLedger ledger;
  {
    MemoryLedger::Entry weights = ledger.enter(MemoryOwner::weights, 100);
    MemoryLedger::Entry cache = ledger.enter(MemoryOwner::cache, 7);
    weights.add(11);
    EXPECT_EQ(ledger.now().of(MemoryOwner::weights), 111U);
    const MemoryLedger::Entry moved = std::move(weights);
    EXPECT_EQ(ledger.now().total(), 118U);
    cache = {};
    EXPECT_EQ(ledger.now().of(MemoryOwner::cache), 0U);
  }
  EXPECT_EQ(ledger.now().total(), 0U);
}

}  // namespace
}  // namespace hearth
