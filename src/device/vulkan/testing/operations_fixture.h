#pragma once

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <vector>

#include "device/vulkan/testing/device_fixture.h"
#include "device/vulkan/testing/test_model.h"

namespace hearth::vulkan {

/// Activations as signed bytes in blocks of 32 move a dot product by about half a percent; f16 in the cache by up to
/// 0.1 %.
inline constexpr double kByteTolerance = 1e-2;
inline constexpr double kHalfTolerance = 2e-3;
inline constexpr double kFloatTolerance = 1e-5;

/// Single tokens, more than one, the last few-token bucket, and tiles that are filled in part.
inline const std::vector<uint32_t> kTokenCounts = {1, 16, 70};

/// Compares operations on the Vulkan device with the reference device.
class OperationsTest : public DeviceTest {
 protected:
  void TearDown() override {
    program_.reset();
    DeviceTest::TearDown();
  }

  void compile(const TestModel& model, const ProgramLimits& limits) {
    auto program = model.compile(*device_, limits);
    ASSERT_TRUE(program) << to_string(program.error());
    program_ = std::move(*program);
    reference_program_ = model.compile(*reference_, limits).value();
  }

  /// Runs a step on both and compares each row of the result.
  void compare(const TestSteps::Step& step, double allowed, const std::string& what) {
    const auto expected = reference_program_->run(step.input());
    const auto result = program_->run(step.input());
    ASSERT_TRUE(result) << to_string(result.error());
    ASSERT_EQ(result->logits.size(), expected->logits.size());
    const size_t width = expected->logits.size() / step.logit_rows.size();
    for (size_t row = 0; row < step.logit_rows.size(); ++row) {
      const double error =
          relative_error(result->logits.subspan(row * width, width), expected->logits.subspan(row * width, width));
      ASSERT_LT(error, allowed) << what << ", row " << row << " of " << step.logit_rows.size();
    }
  }

  /// A model without a cache over several token counts.
  void compare_token_counts(const TestModel& model, double allowed, const std::string& what,
                            const std::vector<uint32_t>& counts = kTokenCounts) {
    compile(model, {.tokens = 128, .logit_rows = 128, .sequences = 1});
    TestSteps steps(1, 0, 0, 7);
    for (const uint32_t count : counts) {
      compare(steps.next({count}, 64), allowed, fmt::format("{}, {} tokens", what, count));
    }
  }

  std::unique_ptr<Program> program_, reference_program_;
};

}  // namespace hearth::vulkan
