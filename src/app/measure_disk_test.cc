#include "app/measure_disk.h"

#include <gmock/gmock.h>

#include "base/testing/temporary_tree.h"

namespace hearth::app {
namespace {

using testing::HasSubstr;
constexpr std::chrono::minutes kPatience(5);

TEST(MeasureDisk, ReadsTheLargestFileOfAFolder) {
  const TemporaryTree tree;
  tree.write("models/small.gguf", std::string(17U << 20, 's'));
  tree.write("models/deep/large.gguf", std::string((20U << 20) + 7, 'l'));
  for (const auto& path : {tree.root(), tree.root() / "models", tree.root() / "models/deep/large.gguf"}) {
    const auto speed = measure_disk(path, kPatience);
    ASSERT_TRUE(speed) << to_string(speed.error());
    EXPECT_EQ(speed->file, tree.root() / "models/deep/large.gguf");
    EXPECT_GT(speed->bytes, 0U);
    EXPECT_LE(speed->bytes, (20U << 20) + 7);
    EXPECT_GT(speed->seconds, 0);
    EXPECT_TRUE(speed->way == "ring" || speed->way == "threads") << speed->way;
  }
}

TEST(MeasureDisk, NeedsAFileThatIsLargeEnough) {
  const TemporaryTree tree;
  tree.write("config.json", "{}");
  for (const auto& path : {tree.root(), tree.root() / "none", tree.root() / "config.json"}) {
    const auto speed = measure_disk(path, kPatience);
    ASSERT_FALSE(speed);
    EXPECT_EQ(speed.error().code, ErrorCode::not_found);
    EXPECT_THAT(speed.error().message, HasSubstr(path.native()));
  }
}

}  // namespace
}  // namespace hearth::app
