// NPUs in a /sys made by the test, whose driver is a fake: each state, and what is not there or makes no sense.

#include "device/npu/npu_detection.h"

#include <gmock/gmock.h>

#include <set>

#include "device/testing/made_npu.h"

namespace hearth {
namespace {

using std::chrono::milliseconds;
using testing::HasSubstr;

constexpr milliseconds kLimit = std::chrono::minutes(5);  // nothing hangs

class NpuDetectionTest : public testing::Test {
 protected:
  std::vector<Npu> detect(milliseconds limit = kLimit) {
    auto found = detect_npus(tree_.root(), driver_, limit);
    EXPECT_TRUE(found) << to_string(found.error());
    return found.value_or(std::vector<Npu>());
  }

  /// The only one there.
  Npu detect_one() {
    auto found = detect();
    EXPECT_EQ(found.size(), 1U);
    return found.empty() ? Npu() : std::move(found.front());
  }

  void write(const char* name, const std::string& text) {
    tree_.write(std::filesystem::path(kMadeNpuFolder) / name, text);
  }

  TemporaryTree tree_;
  std::shared_ptr<FakeNpuDriver> driver_ = std::make_shared<FakeNpuDriver>();
};

TEST_F(NpuDetectionTest, FindsNothingWhereNothingIs) {
  EXPECT_TRUE(detect().empty());
  add_npu(tree_, "6.19.0");
  write("vendor", "0x8086\n");  // another maker's signal processor
  EXPECT_TRUE(detect().empty());
  write("vendor", "0x1022\n");
  write("class", "0x030000\n");  // a GPU
  EXPECT_TRUE(detect().empty());
  EXPECT_EQ(driver_->calls, 0);
}

TEST_F(NpuDetectionTest, TellsAllOfOneThatWorks) {
  add_npu(tree_, "6.14.0");
  add_driver(tree_);
  const Npu npu = detect_one();
  EXPECT_EQ(npu.state, NpuState::usable) << npu.obstacle;
  EXPECT_EQ(npu.obstacle + npu.remedy, "");
  EXPECT_EQ(npu.signs.pci_address, "0000:c5:00.1");
  EXPECT_EQ(npu.signs.model.name, "Phoenix or Hawk Point");
  EXPECT_EQ(npu.signs.model.generation, "XDNA1");
  EXPECT_EQ(npu.signs.vbnv, "RyzenAI-npu1");
  EXPECT_EQ(npu.signs.node, tree_.root() / "dev/accel/accel0");
  const NpuAnswers& answers = npu.answers;
  EXPECT_EQ(answers.driver, "amdxdna_accel_driver 0.1.0");
  EXPECT_EQ(answers.firmware, "1.5.2.380");
  ASSERT_TRUE(answers.array);
  EXPECT_EQ(answers.array->columns, 5U);
  EXPECT_EQ(answers.array->rows, 6U);
  EXPECT_EQ(answers.array->core_rows, 4U);
  EXPECT_EQ(answers.array->memory_rows, 1U);
  EXPECT_EQ(answers.array->shim_rows, 1U);
  EXPECT_EQ(answers.array->version, "2.0");
  ASSERT_EQ(answers.clocks.size(), 2U);
  EXPECT_EQ(answers.clocks[0].name, "MP-NPU Clock");
  EXPECT_EQ(answers.clocks[0].megahertz, 600U);
  EXPECT_EQ(answers.clocks[1].name, "H Clock");
  EXPECT_EQ(answers.clocks[1].megahertz, 1024U);
  EXPECT_EQ(answers.power_mode, "default");
  EXPECT_FALSE(answers.resources) << "Linux 6.14 does not tell";
  EXPECT_EQ(driver_->open_descriptors, 0);
}

TEST_F(NpuDetectionTest, KnowsModelsByIdAndRevision) {
  const auto name = [](const char* device, const char* revision) { return npu_model_of(device, revision).name; };
  EXPECT_EQ(name("0x1502", "0x00"), "Phoenix or Hawk Point");
  EXPECT_EQ(name("0x17f0", "0x10"), "Strix Point");
  EXPECT_EQ(name("0x17f0", "0x11"), "Strix Halo");
  EXPECT_EQ(name("0x17f0", "0x20"), "Krackan");
  EXPECT_EQ(name("0x17f0", "0x30"), "one of the Strix family");
  EXPECT_EQ(name("0x17f0", ""), "one of the Strix family") << "an unreadable revision";
  EXPECT_EQ(name("0x17f3", "0x00"), "one newer than Krackan");
  EXPECT_EQ(name("0x1b0c", "0x00"), "one newer than Krackan");
  EXPECT_EQ(name("0x9999", "0x00"), "unknown");
  EXPECT_EQ(name("", ""), "unknown");
  EXPECT_EQ(npu_firmware_folder("0x1502", "0x00"), "amdnpu/1502_00");
}

TEST_F(NpuDetectionTest, EachWayOfNotWorkingIsToldApart) {
  std::set<NpuState> seen;
  std::set<std::string> sentences;
  for (const MadeNpu& made : made_npus()) {
    const TemporaryTree tree;
    const auto driver = std::make_shared<FakeNpuDriver>();
    made.make(tree, *driver);
    const auto found = detect_npus(tree.root(), driver, driver->hang_at == 0 ? kLimit : milliseconds(50));
    driver->release();
    ASSERT_TRUE(found) << made.what;
    ASSERT_EQ(found->size(), 1U) << made.what;
    const Npu& npu = found->front();
    EXPECT_EQ(npu.state, made.state) << made.what << ": " << npu.obstacle;
    EXPECT_EQ(npu.obstacle.empty(), made.state == NpuState::usable) << made.what;
    EXPECT_EQ(npu.remedy.empty(), made.state == NpuState::usable) << made.what;
    EXPECT_TRUE(seen.insert(npu.state).second) << made.what;
    EXPECT_TRUE(sentences.insert(npu.obstacle).second) << npu.obstacle;
  }
  EXPECT_EQ(seen.size(), static_cast<size_t>(NpuState::driver_fails) + 1) << "a state that nobody makes";
}

TEST_F(NpuDetectionTest, ADriverThatHangsCostsOneLimitAndKeepsWhatWasSaid) {
  add_npu(tree_, "6.14.0");
  add_driver(tree_);
  driver_->hang_at = FakeNpuDriver::kAieMetadata;
  const auto found = detect(milliseconds(50));
  ASSERT_EQ(found.size(), 1U);
  EXPECT_EQ(found[0].state, NpuState::driver_hangs);
  EXPECT_THAT(found[0].obstacle, HasSubstr("while its tiles were asked for"));
  EXPECT_EQ(found[0].answers.firmware, "1.5.2.380");
  EXPECT_TRUE(found[0].answers.clocks.empty());
  EXPECT_EQ(driver_->calls, 4) << "open, version, firmware and tiles";
  EXPECT_EQ(driver_->open_descriptors, 1) << "closing it would hang, too";
  driver_->release();
}

TEST_F(NpuDetectionTest, OpeningMayHang) {
  add_npu(tree_, "6.14.0");
  add_driver(tree_);
  driver_->hang_at = FakeNpuDriver::kOpen;
  const auto found = detect(milliseconds(50));
  ASSERT_EQ(found.size(), 1U);
  EXPECT_EQ(found[0].state, NpuState::driver_hangs);
  EXPECT_THAT(found[0].obstacle, HasSubstr("while it was opened"));
  driver_->release();
}

TEST_F(NpuDetectionTest, WhatTheIommuLacksComesAsDifferentErrors) {
  add_npu(tree_, "6.19.0");
  add_driver(tree_);
  for (const int error : {EINVAL, ENODEV, EOPNOTSUPP, ENOSPC}) {
    driver_->open_result = -error;
    EXPECT_EQ(detect_one().state, NpuState::no_iommu) << error;
  }
  EXPECT_THAT(detect_one().remedy, HasSubstr("firmware's setup"));
  tree_.write("proc/cmdline", "quiet amd_iommu=off\n");
  EXPECT_THAT(detect_one().remedy, HasSubstr("boot without amd_iommu=off"));
  driver_->open_result = -EPERM;
  EXPECT_EQ(detect_one().state, NpuState::no_permission);
  driver_->open_result = -ENOENT;
  EXPECT_EQ(detect_one().state, NpuState::no_node);
  driver_->open_result = -EBUSY;
  EXPECT_EQ(detect_one().state, NpuState::driver_fails);
}

TEST_F(NpuDetectionTest, ARefusalIsTracedToWhatIsMissing) {
  add_npu(tree_, "6.14.0");
  tree_.make_folder("sys/bus/pci/drivers/amdxdna");
  EXPECT_EQ(detect_one().state, NpuState::firmware_missing);
  add_firmware(tree_, "17f0_10");
  EXPECT_EQ(detect_one().state, NpuState::firmware_missing) << "another model's";
  add_firmware(tree_);
  EXPECT_EQ(detect_one().state, NpuState::no_iommu);
  add_iommu(tree_);
  EXPECT_EQ(detect_one().state, NpuState::firmware_mismatch);
  write("device", "0x17f3\n");
  EXPECT_EQ(detect_one().state, NpuState::no_driver) << "the driver need not know it";
}

TEST_F(NpuDetectionTest, AMailboxThatTimesOutIsAMismatch) {
  add_npu(tree_, "6.14.0");
  add_driver(tree_);
  driver_->errors[FakeNpuDriver::kFirmwareVersion] = -ETIME;
  EXPECT_EQ(detect_one().state, NpuState::firmware_mismatch);
}

TEST_F(NpuDetectionTest, QuestionsThatADriverDoesNotKnowAreNoFault) {
  add_npu(tree_, "6.14.0");
  add_driver(tree_);
  driver_->answers.clear();
  driver_->errors[FakeNpuDriver::kClocks] = -EINVAL;
  const Npu npu = detect_one();
  EXPECT_EQ(npu.state, NpuState::usable);
  EXPECT_FALSE(npu.answers.firmware || npu.answers.array || npu.answers.power_mode);
  EXPECT_TRUE(npu.answers.clocks.empty());
}

TEST_F(NpuDetectionTest, AnswersWithoutSenseAreUnknown) {
  add_npu(tree_, "6.14.0");
  add_driver(tree_);
  for (const uint8_t filling : {0x00, 0xff}) {
    for (auto& [parameter, bytes] : driver_->answers) {
      if (parameter != FakeNpuDriver::kFirmwareVersion) std::ranges::fill(bytes, filling);
    }
    const Npu npu = detect_one();
    EXPECT_EQ(npu.state, NpuState::usable);
    EXPECT_FALSE(npu.answers.array) << int{filling};
    EXPECT_TRUE(npu.answers.clocks.empty()) << int{filling};
    EXPECT_EQ(npu.answers.power_mode.has_value(), filling == 0) << "0 is the default mode";
  }
}

TEST_F(NpuDetectionTest, ClocksMayHaveLongNames) {
  add_npu(tree_, "6.14.0");
  add_driver(tree_);
  driver_->answers[FakeNpuDriver::kClocks] =
      FakeNpuDriver::joined(FakeNpuDriver::clock(std::string(16, 'c'), 1), FakeNpuDriver::clock("\x1b[2J", 2));
  const Npu npu = detect_one();
  ASSERT_EQ(npu.answers.clocks.size(), 2U);
  EXPECT_EQ(npu.answers.clocks[0].name, std::string(16, 'c'));
  EXPECT_EQ(npu.answers.clocks[1].name.find('\x1b'), std::string::npos);
}

TEST_F(NpuDetectionTest, FilesThatAreMissingOrGarbageAreUnknown) {
  add_npu(tree_, "6.14.0");
  add_driver(tree_);
  for (const char* name : {"device", "revision", "vbnv", "fw_version"})
    write(name, std::string("\xff\x00\x1b garbage", 11));
  Npu npu = detect_one();
  EXPECT_EQ(npu.signs.model.name, "unknown");
  EXPECT_EQ(npu.state, NpuState::usable) << "whoever it is, its driver answers";
  for (const char* name : {"class", "device", "revision", "vbnv", "fw_version"}) {
    std::filesystem::remove(tree_.root() / kMadeNpuFolder / name);
  }
  std::filesystem::remove_all(tree_.root() / "proc");
  npu = detect_one();
  EXPECT_EQ(npu.signs.device_id + npu.signs.revision + npu.signs.vbnv + npu.signs.firmware + npu.signs.kernel, "");
  EXPECT_FALSE(npu.signs.lockable_bytes);
}

TEST_F(NpuDetectionTest, AmdsOwnDriverIsOneToo) {
  add_npu(tree_, "6.11.0");
  add_driver(tree_);
  const auto driver = std::filesystem::path(kMadeNpuFolder) / "driver";
  std::filesystem::remove(tree_.root() / driver);
  tree_.link(driver, "../../drivers/amdxdna_legacy");
  EXPECT_EQ(detect_one().state, NpuState::usable);
}

TEST_F(NpuDetectionTest, AnOlderKernelWithADriverOfItsOwnWillDo) {
  add_npu(tree_, "6.11.0");
  add_driver(tree_);
  EXPECT_EQ(detect_one().state, NpuState::usable);
}

}  // namespace
}  // namespace hearth
