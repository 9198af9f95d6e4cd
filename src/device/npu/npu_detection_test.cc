// NPUs in a /sys made by the test: one that works, and each way of not working that can be seen there.

#include "device/npu/npu_detection.h"

#include <gmock/gmock.h>
#include <unistd.h>

#include <fstream>

namespace hearth {
namespace {

namespace fs = std::filesystem;
using testing::HasSubstr;

class NpuDetectionTest : public testing::Test {
 protected:
  void SetUp() override {
    root_ = fs::path(testing::TempDir()) / ("hearth_npu_" + std::to_string(getpid()));
    fs::remove_all(root_);
  }
  void TearDown() override { fs::remove_all(root_); }

  void write(const fs::path& path, const std::string& text) {
    fs::create_directories((root_ / path).parent_path());
    std::ofstream(root_ / path) << text << '\n';
  }

  /// A PCI function; with a driver its link points to it.
  fs::path add(const std::string& address, const std::string& type, const std::string& vendor,
               const std::string& device, const std::string& revision, const std::string& driver = "") {
    const fs::path folder = fs::path("sys/bus/pci/devices") / address;
    write(folder / "class", type);
    write(folder / "vendor", vendor);
    write(folder / "device", device);
    write(folder / "revision", revision);
    if (!driver.empty()) fs::create_directory_symlink("../../drivers/" + driver, root_ / folder / "driver");
    return folder;
  }

  fs::path root_;
};

TEST_F(NpuDetectionTest, FindsNothingWhereNothingIs) {
  EXPECT_TRUE(detect_npus(root_).empty());
  add("0000:00:01.0", "0x030000", "0x1022", "0x15bf", "0x00", "amdgpu");   // a GPU
  add("0000:00:02.0", "0x118000", "0x8086", "0x1502", "0x00", "another");  // another maker's signal processor
  EXPECT_TRUE(detect_npus(root_).empty());
}

TEST_F(NpuDetectionTest, FindsOneThatWorks) {
  const fs::path folder = add("0000:c5:00.1", "0x118000", "0x1022", "0x1502", "0x00", "amdxdna");
  write(folder / "vbnv", "RyzenAI-npu1");
  write(folder / "fw_version", "1.5.2.380");
  write(folder / "accel/accel0/dev", "261:0");
  write("dev/accel/accel0", "");
  const auto found = detect_npus(root_);
  ASSERT_EQ(found.size(), 1U);
  EXPECT_EQ(found[0].pci_address, "0000:c5:00.1");
  EXPECT_EQ(found[0].generation, "Phoenix or Hawk Point (XDNA1)");
  EXPECT_EQ(found[0].vbnv, "RyzenAI-npu1");
  EXPECT_EQ(found[0].firmware, "1.5.2.380");
  EXPECT_EQ(found[0].node, root_ / "dev/accel/accel0");
  EXPECT_EQ(found[0].obstacle, "");
}

TEST_F(NpuDetectionTest, TellsWaysOfNotWorkingApart) {
  add("0000:01:00.0", "0x118000", "0x1022", "0x17f0", "0x11");
  add("0000:02:00.0", "0x118000", "0x1022", "0x17f0", "0x20", "vfio-pci");
  add("0000:03:00.0", "0x118000", "0x1022", "0x17f3", "0x00", "amdxdna");
  const auto found = detect_npus(root_);
  ASSERT_EQ(found.size(), 3U);
  EXPECT_EQ(found[0].generation, "Strix Halo (XDNA2)");
  EXPECT_THAT(found[0].obstacle, HasSubstr("no driver"));
  EXPECT_EQ(found[1].generation, "Krackan (XDNA2)");
  EXPECT_THAT(found[1].obstacle, HasSubstr("vfio-pci"));
  EXPECT_EQ(found[2].generation, "unknown");
  EXPECT_THAT(found[2].obstacle, HasSubstr("no node"));
}

TEST_F(NpuDetectionTest, SaysWhenTheNodeMayNotBeOpened) {
  const fs::path folder = add("0000:c5:00.1", "0x118000", "0x1022", "0x1502", "0x00", "amdxdna");
  write(folder / "accel/accel1/dev", "261:1");  // and nothing under /dev
  EXPECT_THAT(detect_npus(root_).at(0).obstacle, HasSubstr("may not be opened"));
}

}  // namespace
}  // namespace hearth
