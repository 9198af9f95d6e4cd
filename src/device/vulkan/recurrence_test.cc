// Layers that remember by a state on the Vulkan device against the reference device.

#include <gtest/gtest.h>

#include "device/testing/state_layer.h"
#include "device/vulkan/testing/device_fixture.h"

namespace hearth::vulkan {
namespace {

using namespace testing_state;

class RecurrenceTest : public DeviceTest, public testing::WithParamInterface<Shape> {};
INSTANTIATE_TEST_SUITE_P(Shapes, RecurrenceTest, testing::ValuesIn(shapes()),
                         [](const auto& test) { return test.param.name; });

TEST_P(RecurrenceTest, IsTheReferences) {
  Runner is(GetParam(), *device_), should(GetParam(), *reference_);
  ASSERT_EQ(is.error(), "");
  const std::vector<std::vector<int32_t>> texts = {random_text(48, 1), random_text(48, 2), random_text(48, 3)};
  for (const auto& shares : mixed_steps(texts)) {
    EXPECT_LT(testing_state::relative_error(is.run(shares), should.run(shares)), 2e-5) << is.error();
  }
}

/// However a text is cut into steps, and whoever is in them.
TEST_P(RecurrenceTest, RowsDependOnNothingButTheText) {
  Runner runner(GetParam(), *device_);
  const auto text = random_text(20, 4), other = random_text(7, 5);
  const std::vector<float> whole = runner.run({{text, -1, 0}});
  const size_t width = whole.size() / text.size();
  std::vector<float> pieces;
  for (size_t first = 0, count = 1; first < text.size(); first += count, count = first % 5 + 1) {
    const size_t end = std::min(text.size(), first + count);
    const Share share = {std::span(text).subspan(first, end - first), first == 0 ? -1 : 1, 1};
    const auto rows = runner.run({{other, -1, 3}, share});
    pieces.insert(pieces.end(), rows.begin() + static_cast<ptrdiff_t>(other.size() * width), rows.end());
  }
  EXPECT_LT(testing_state::relative_error(pieces, whole), 1e-6) << runner.error();
}

}  // namespace
}  // namespace hearth::vulkan
