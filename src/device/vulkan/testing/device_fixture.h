#pragma once

#include <gtest/gtest.h>

#include <cstdlib>
#include <memory>

#include "device/reference/reference_device.h"
#include "device/vulkan/testing/test_model.h"
#include "device/vulkan/vulkan_device.h"

namespace hearth::vulkan {

/// A Vulkan device beside the reference device. Skipped where there may be none; a message of the validation layer
/// fails the test.
class DeviceTest : public testing::Test {
 protected:
  void SetUp() override {
    auto opened = open_vulkan_device({.validation = std::getenv("HEARTH_VULKAN_VALIDATION") != nullptr});
    if (!opened && may_be_missing(opened.error())) GTEST_SKIP() << to_string(opened.error());
    ASSERT_TRUE(opened) << to_string(opened.error());
    device_ = std::move(*opened);
    if (const char* tuning = std::getenv("HEARTH_VULKAN_TUNING")) {
      ASSERT_TRUE(device_->set_tuning(tuning)) << tuning;
    }
    reference_ = open_reference_device(2);
  }

  void TearDown() override {
    if (device_) {
      EXPECT_EQ(device_->validation_messages(), 0U);
    }
  }

  std::unique_ptr<VulkanDevice> device_;
  std::unique_ptr<Device> reference_;
};

}  // namespace hearth::vulkan
