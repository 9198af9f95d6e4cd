// The file of compiled pipelines: what is read back, and that nothing damaged or foreign is.

#include "device/vulkan/pipelines/pipeline_cache_file.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <fstream>

#include "base/file.h"

namespace hearth::vulkan {
namespace {

namespace fs = std::filesystem;

class PipelineCacheFileTest : public testing::Test {
 protected:
  void SetUp() override {
    folder_ = fs::path(testing::TempDir()) / ("hearth_pipelines_" + std::to_string(getpid()));
    fs::remove_all(folder_);
    properties_.vendor_id = 0x1002;
    properties_.device_id = 0x15bf;
    properties_.driver_version = 7;
    properties_.pipeline_cache_uuid.fill(0xab);
    for (int i = 0; i < 1000; ++i) data_.push_back(static_cast<std::byte>(i * 37));
  }
  void TearDown() override { fs::remove_all(folder_); }

  void overwrite(const fs::path& path, const std::string& bytes) { std::ofstream(path, std::ios::binary) << bytes; }

  fs::path folder_;
  GpuProperties properties_;
  std::vector<std::byte> data_;
};

TEST_F(PipelineCacheFileTest, ReadsWhatWasWritten) {
  const PipelineCacheFile file(folder_, properties_, 1);
  EXPECT_TRUE(file.read().empty());
  ASSERT_TRUE(file.write(data_));
  EXPECT_EQ(file.read(), data_);
  ASSERT_TRUE(file.write(std::span(data_).first(10)));
  EXPECT_EQ(file.read().size(), 10U);
  EXPECT_EQ(std::distance(fs::directory_iterator(folder_), {}), 1) << "a temporary file was left behind";
}

TEST_F(PipelineCacheFileTest, IgnoresDamage) {
  const PipelineCacheFile file(folder_, properties_, 1);
  ASSERT_TRUE(file.write(data_));
  const std::string whole = read_whole_file(file.path()).value();
  for (size_t i = 0; i < whole.size(); i += i < 64 ? 1 : 97) {  // all of the header
    std::string damaged = whole;
    damaged[i] = static_cast<char>(damaged[i] ^ 0x10);
    overwrite(file.path(), damaged);
    ASSERT_TRUE(file.read().empty()) << "byte " << i;
  }
  for (const size_t size : {size_t{0}, size_t{1}, size_t{63}, size_t{64}, whole.size() - 1}) {
    overwrite(file.path(), whole.substr(0, size));
    ASSERT_TRUE(file.read().empty()) << size << " bytes";
  }
  overwrite(file.path(), whole + "x");
  EXPECT_TRUE(file.read().empty());
}

TEST_F(PipelineCacheFileTest, IgnoresWhatAnotherDeviceDriverOrCodeWrote) {
  const PipelineCacheFile file(folder_, properties_, 1);
  GpuProperties other_device = properties_, other_driver = properties_, other_uuid = properties_;
  other_device.device_id = 1;
  other_driver.driver_version = 8;
  other_uuid.pipeline_cache_uuid[15] = 0;
  for (const PipelineCacheFile& other :
       {PipelineCacheFile(folder_, other_device, 1), PipelineCacheFile(folder_, other_driver, 1),
        PipelineCacheFile(folder_, other_uuid, 1), PipelineCacheFile(folder_, properties_, 2)}) {
    EXPECT_NE(other.path(), file.path());
    ASSERT_TRUE(other.write(data_));
    fs::rename(other.path(), file.path());
    EXPECT_TRUE(file.read().empty());
  }
}

TEST_F(PipelineCacheFileTest, KeepsNothingWithoutAFolderAndSaysWhenItCannotWrite) {
  EXPECT_TRUE(PipelineCacheFile({}, properties_, 1).write(data_));
  overwrite(folder_, "a file where the folder should be");
  const auto written = PipelineCacheFile(folder_, properties_, 1).write(data_);
  ASSERT_FALSE(written);
  EXPECT_EQ(written.error().code, ErrorCode::io);
}

}  // namespace
}  // namespace hearth::vulkan
