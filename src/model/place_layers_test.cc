#include "model/place_layers.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <numeric>

#include "base/testing/source_folder.h"
#include "device/open_device.h"

namespace hearth {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

class PlaceLayersTest : public testing::Test {
 protected:
  static std::vector<std::unique_ptr<Device>> devices(std::string_view names) { return open_devices(names, 1).value(); }

  std::unique_ptr<Checkpoint> checkpoint_ = open_checkpoint(source_folder() / "tests/golden/qwen2").value();
};

TEST_F(PlaceLayersTest, SharesTheLayersOfACheckpoint) {
  EXPECT_THAT(plan_layers_of(*checkpoint_, devices("cpu"), {}).value(), ElementsAre(4));
  EXPECT_THAT(plan_layers_of(*checkpoint_, devices("cpu"), {.cut = {.max_layers = 3}}).value(), ElementsAre(3));
  const LayerPlan shared = plan_layers_of(*checkpoint_, devices("cpu+reference"), {}).value();
  EXPECT_EQ(std::accumulate(shared.begin(), shared.end(), 0U), 4U);
  EXPECT_GT(shared[0], 0U);
  EXPECT_GT(shared[1], 0U);
}

TEST_F(PlaceLayersTest, CountsTheCacheAndTheStepsThatMustFit) {
  for (const PlaceOptions& too_much :
       {PlaceOptions{.sequences = 1U << 30}, PlaceOptions{.limits = {.tokens = 1U << 30}},
        PlaceOptions{.limits = {.logit_rows = 1U << 31}}}) {
    const auto plan = plan_layers_of(*checkpoint_, devices("cpu"), too_much);
    ASSERT_FALSE(plan);
    EXPECT_EQ(plan.error().code, ErrorCode::out_of_memory);
    EXPECT_THAT(plan.error().message, HasSubstr("GB"));
  }
}

TEST_F(PlaceLayersTest, KeepsLayersThatReadOthersKeysWithThem) {
  const auto gemma = open_checkpoint(source_folder() / "tests/golden/gemma4_text_soft").value();
  const LayerPlan shared = plan_layers_of(*gemma, devices("cpu+reference"), {}).value();
  EXPECT_LE(shared[0] % 6, 2U) << "layers 2 and 3 are read by 4 and 5";
}

TEST_F(PlaceLayersTest, JoinsOnlyDevicesThatTakeLayers) {
  EXPECT_EQ(join_devices(devices("cpu+reference"), {0, 4}).value()->info().kind, "reference");
  EXPECT_EQ(join_devices(devices("cpu+reference"), {4, 0}).value()->info().kind, "cpu");
  EXPECT_EQ(join_devices(devices("cpu+reference+cpu"), {1, 0, 3}).value()->info().kind, "cpu+cpu");
  EXPECT_FALSE(join_devices(devices("cpu+reference"), {0, 0}));
}

}  // namespace
}  // namespace hearth
