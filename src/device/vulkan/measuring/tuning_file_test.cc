// The file of measured tunings: what is read back, and that nothing damaged or foreign is.

#include "device/vulkan/measuring/tuning_file.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <fstream>

#include "base/file.h"

namespace hearth::vulkan {
namespace {

namespace fs = std::filesystem;

class TuningFileTest : public testing::Test {
 protected:
  void SetUp() override {
    folder_ = fs::path(testing::TempDir()) / ("hearth_tuning_" + std::to_string(getpid()));
    fs::remove_all(folder_);
    properties_.name = "A GPU";
    properties_.vendor_id = 0x1002;
    properties_.driver_version = 7;
  }
  void TearDown() override { fs::remove_all(folder_); }

  TuningFile file(uint64_t shaders = 1) const { return {folder_, properties_, table_, shaders}; }

  /// The file with `from` replaced by `to`.
  void damage(const std::string& from, const std::string& to) {
    std::string text = read_whole_file(file().path()).value();
    const size_t at = text.find(from);
    ASSERT_NE(at, text.npos) << from;
    text.replace(at, from.size(), to);
    std::ofstream(file().path(), std::ios::binary) << text;
  }

  void expect_ignored(const std::string& why) {
    const auto read = file().read();
    ASSERT_FALSE(read) << why;
    EXPECT_EQ(read.error().code, ErrorCode::corrupt) << why;
  }

  fs::path folder_;
  GpuProperties properties_;
  Tuning table_;
  const MeasuredTunings measured_ = {
      {"gate_up 64 to 96 q4_0", {{1, {{{"gate_up.split", 4}}, 1.5e-5, 2e-5}}, {512, {{}, 1e-3, 1e-3}}}},
      {"logits 64 to 32 q8_0", {{1, {{{"few_tokens_limit", 0}}, 1e-6, 3e-6}}}}};
};

TEST_F(TuningFileTest, ReadsWhatWasWritten) {
  EXPECT_TRUE(file().read().value().empty());
  ASSERT_TRUE(file().write(measured_));
  const auto read = file().read();
  ASSERT_TRUE(read) << to_string(read.error());
  ASSERT_EQ(read->size(), 2U);
  const MeasuredTuning& one = read->at("gate_up 64 to 96 q4_0").at(1);
  EXPECT_EQ(one.changes, (TuningChanges{{"gate_up.split", 4}}));
  EXPECT_NEAR(one.seconds, 1.5e-5, 1e-12);
  EXPECT_NEAR(one.table_seconds, 2e-5, 1e-12);
  EXPECT_EQ(one.origin, TuningOrigin::kept);
  EXPECT_TRUE(read->at("gate_up 64 to 96 q4_0").at(512).changes.empty()) << "the table's choice won";
  EXPECT_EQ(std::distance(fs::directory_iterator(folder_), {}), 1) << "a temporary file was left behind";
}

TEST_F(TuningFileTest, IgnoresDamage) {
  const std::vector<std::pair<std::string, std::string>> damages = {
      {"{", ""},
      {"gate_up.split", "gate_up.spilt"},
      {"gate_up.split", "attention_path"},
      {"\"tokens\": 512", "\"tokens\": -1"},
      {"\"tokens\": 512", "\"tokens\": \"many\""},
      {"\"microseconds\": 1", "\"microseconds\": -1"},
      {"\"gate_up.split\": 4", "\"gate_up.split\": 4294967296"},
      {"\"tuning\": {}", "\"tuning\": []"},
      {"\"operation\"", "\"operations\""},
  };
  for (const auto& [from, to] : damages) {
    ASSERT_TRUE(file().write(measured_));
    damage(from, to);
    expect_ignored(from + " became " + to);
  }
  ASSERT_TRUE(file().write(measured_));
  const std::string whole = read_whole_file(file().path()).value();
  for (const size_t size : {size_t{0}, size_t{1}, whole.size() / 2, whole.size() - 3}) {
    std::ofstream(file().path(), std::ios::binary) << whole.substr(0, size);
    expect_ignored(std::to_string(size) + " bytes");
  }
}

TEST_F(TuningFileTest, IgnoresWhatHoldsForOthers) {
  const TuningFile mine = file();
  std::vector<TuningFile> others = {file(2)};
  properties_.driver_version = 8;
  others.push_back(file());
  properties_.driver_version = 7;
  properties_.device_id = 1;
  others.push_back(file());
  properties_.device_id = 0;
  table_.gate_up.rows = 2;
  others.push_back(file());
  for (const TuningFile& other : others) {
    EXPECT_NE(other.path(), mine.path());
    ASSERT_TRUE(other.write(measured_));
    fs::rename(other.path(), mine.path());
    EXPECT_FALSE(mine.read());
  }
}

TEST_F(TuningFileTest, KeepsNothingWithoutAFolderAndSaysWhenItCannotWrite) {
  const TuningFile nowhere({}, properties_, table_, 1);
  EXPECT_TRUE(nowhere.write(measured_));
  EXPECT_TRUE(nowhere.read().value().empty());
  std::ofstream(folder_) << "a file where the folder should be";
  const auto written = file().write(measured_);
  ASSERT_FALSE(written);
  EXPECT_EQ(written.error().code, ErrorCode::io);
}

}  // namespace
}  // namespace hearth::vulkan
