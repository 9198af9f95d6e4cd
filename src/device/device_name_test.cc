#include "device/device_name.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace hearth {
namespace {

TEST(DeviceName, SaysWhichDeviceAndWhatItMayTake) {
  EXPECT_EQ(parse_device_name("cpu")->kind, "cpu");
  EXPECT_EQ(parse_device_name("vulkan")->which, "");
  EXPECT_EQ(parse_device_name("vulkan:1")->which, "1");
  const auto name = parse_device_name("vulkan:780M,memory=20000,tune=0.5");
  ASSERT_TRUE(name) << to_string(name.error());
  EXPECT_EQ(name->kind, "vulkan");
  EXPECT_EQ(name->which, "780M");
  EXPECT_EQ(name->memory_mebibytes, 20000U);
  EXPECT_EQ(name->tune_seconds, 0.5);
  EXPECT_EQ(parse_device_name("vulkan,tune=0")->tune_seconds, 0.0);
  EXPECT_EQ(parse_device_name("vulkan:llvmpipe (LLVM 15.0.6, 256 bits),memory=1")->which,
            "llvmpipe (LLVM 15.0.6, 256 bits)");
  EXPECT_EQ(parse_device_name("vulkan:llvmpipe (LLVM 15.0.6, 256 bits)")->which, "llvmpipe (LLVM 15.0.6, 256 bits)");
  const auto npu = parse_device_name("npu:/some where/kernels,memory=512,xrt=/opt/xrt/lib.so");
  ASSERT_TRUE(npu) << to_string(npu.error());
  EXPECT_EQ(npu->kind, "npu");
  EXPECT_EQ(npu->which, "/some where/kernels");
  EXPECT_EQ(npu->memory_mebibytes, 512U);
  EXPECT_EQ(npu->xrt, "/opt/xrt/lib.so");
}

TEST(DeviceName, WhatIsNotUnderstoodIsNamed) {
  const std::pair<const char*, const char*> wrong[] = {
      {"tpu", "tpu"},
      {"npu:", "npu:"},
      {"npu,tune=1", "npu has no option 'tune'"},
      {"npu,xrt=", "xrt="},
      {"vulkan,xrt=a", "vulkan has no option 'xrt'"},
      {"cpu:1", "cpu:1"},
      {"vulkan:", "vulkan:"},
      {"cpu,memory=1", "cpu"},
      {"auto,tune=1", "auto"},
      {"vulkan,speed=1", "speed"},
      {"vulkan:0,memory=much", "memory=much"},
      {"vulkan:0,memory=", "memory="},
      {"vulkan:0,memory=-1", "memory=-1"},
      {"vulkan:0,tune=-1", "tune=-1"},
      {"vulkan:0,tune=nan", "tune=nan"},
      {"vulkan:0,tune=1,", "option ''"},
      {"", "''"},
  };
  for (const auto& [text, named] : wrong) {
    const auto name = parse_device_name(text);
    ASSERT_FALSE(name) << text;
    EXPECT_EQ(name.error().code, ErrorCode::invalid_argument);
    EXPECT_THAT(name.error().message, testing::HasSubstr(named));
  }
}

TEST(DeviceName, TellsNumbersFromNames) {
  EXPECT_EQ(parse_device_name("vulkan:12")->index(), 12U);
  for (const char* text : {"vulkan", "vulkan:780M", "vulkan:4294967296", "cpu"}) {
    EXPECT_FALSE(parse_device_name(text)->index()) << text;
  }
}

TEST(DeviceName, IsOneOfThoseThatPlusJoins) {
  EXPECT_EQ(split_device_names("vulkan:0,memory=5+cpu"), (std::vector<std::string_view>{"vulkan:0,memory=5", "cpu"}));
  EXPECT_EQ(split_device_names("cpu"), std::vector<std::string_view>{"cpu"});
  EXPECT_EQ(split_device_names("cpu+"), (std::vector<std::string_view>{"cpu", ""})) << "which is no device's name";
}

}  // namespace
}  // namespace hearth
