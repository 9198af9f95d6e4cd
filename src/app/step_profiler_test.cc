#include "app/step_profiler.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <functional>
#include <map>

#include "base/testing/source_folder.h"
#include "device/open_device.h"
#include "formats/checkpoint.h"

namespace hearth::app {
namespace {

class StepProfilerTest : public testing::Test {
 protected:
  void SetUp() override {
    device_ = open_device("cpu", 2).value();
    LatestProgress progress;
    const auto checkpoint = open_checkpoint(source_folder() / "tests/golden/gemma3_text").value();
    model_ = Model::load(*checkpoint, *device_, {}, progress, {}).value();
  }

  static std::map<std::string, ProfiledOperation> by_name(const ProfiledStep& step) {
    std::map<std::string, ProfiledOperation> all;
    for (const ProfiledOperation& operation : step.operations) all[operation.name] = operation;
    return all;
  }

  std::unique_ptr<Device> device_;
  std::unique_ptr<Model> model_;
};

TEST_F(StepProfilerTest, EveryOperationOfTheForwardPassIsCounted) {
  auto profiler = StepProfiler::create(*model_, {.sequences = 3, .context = 40, .prompt_tokens = 33});
  ASSERT_TRUE(profiler) << to_string(profiler.error());
  const auto prompt = profiler->prompt(33, 2);
  const auto decode = profiler->decode(3, 40, 2);
  ASSERT_TRUE(prompt) << to_string(prompt.error());
  ASSERT_TRUE(decode) << to_string(decode.error());
  for (const ProfiledStep* step : {&*prompt, &*decode}) {
    size_t count = 0;
    uint64_t bytes = 0;
    for (const ProfiledOperation& operation : step->operations) {
      count += operation.count;
      bytes += operation.bytes;
    }
    EXPECT_EQ(count, model_->recording().operations.size());
    EXPECT_GT(bytes, model_->bytes_read_per_step());
    EXPECT_GT(step->seconds, 0);
    EXPECT_TRUE(std::ranges::is_sorted(step->operations, std::greater(), &ProfiledOperation::seconds));
  }
  EXPECT_EQ(by_name(*decode).at("rope and store").count, model_->config().layers.size());
}

TEST_F(StepProfilerTest, RefusesWhatTheModelCannotHold) {
  const uint32_t context = model_->config().context_length;
  const auto profiler = StepProfiler::create(*model_, {.sequences = 1, .context = context, .prompt_tokens = 1});
  ASSERT_FALSE(profiler);
  EXPECT_EQ(profiler.error().code, ErrorCode::invalid_argument);
}

}  // namespace
}  // namespace hearth::app
